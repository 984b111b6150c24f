//! Lines that are out of the ordinary: too long, no JSON, no UTF-8, or an answer that nobody waits for.

use tracing::Level;

use super::Reader;
use crate::rpc::{
    envelope::{Envelope, MessageKind, Parts, Text},
    error::NoAnswer,
    scan::Scanned,
    scanner::scan_head,
};

impl Reader<'_> {
    /// A line that is not UTF-8. One odd byte must not cost the answer or the event that it stands in.
    pub(super) fn not_utf8(&mut self, bytes: &[u8]) {
        self.warn(bytes.len() as u64, "is not UTF-8");
        self.text(&String::from_utf8_lossy(bytes));
    }

    /// Warns of what is neither a message nor JSON. It is an event all the same.
    pub(super) fn warn_if_odd(&self, kind: MessageKind, len: usize) {
        match kind {
            MessageKind::Malformed => self.warn(len as u64, "is no JSON object"),
            MessageKind::Unknown => {
                self.warn(len as u64, "is neither request, answer nor notification");
            }
            _ => {}
        }
    }

    /// A line that was too long to keep: whoever waits for it is told, and it is an event of its beginning.
    pub(in crate::rpc) fn too_long(&mut self, len: u64, head: &[u8]) {
        self.warn(len, "was over the limit and was skipped");
        self.scan.reset(); // The next line is compared with the one before, which is this one.
        let head = String::from_utf8_lossy(head);
        let (kind, env) = scan_head(&head, self.router.protocol);
        let id = Parts::new(&head, env).id().unwrap_or_default();
        match kind {
            MessageKind::Response => {
                self.batch.flush();
                let pending = id
                    .parse()
                    .ok()
                    .and_then(|id| self.router.requests.answer(id));
                if let Some(mut pending) = pending {
                    if let Some(hook) = pending.on_reply.take() {
                        self.router.aside.let_go(hook);
                    }
                    pending.tell(Err(NoAnswer::TooLong(len, head.as_ref().into())));
                }
            }
            // The server would wait for ever.
            MessageKind::Request => {
                self.batch.release();
                self.router.dialect.skipped(id, len);
            }
            _ => {}
        }
        let odd = Scanned::alone(MessageKind::Malformed, Envelope::default());
        self.event(Text::new(&head), &odd);
    }

    /// An answer to no request that waits.
    pub(super) fn unexpected(&mut self, id: Option<u64>, text: Text<'_>, env: Envelope) {
        let aside = &self.router.aside;
        if id.is_some_and(|id| self.router.requests.has_used(id)) {
            aside.trace(Level::DEBUG, || {
                tracing::debug!(target: "cas_sdk", "an answer came that nobody waits for any more");
            });
        } else {
            aside.trace(Level::WARN, || {
                tracing::warn!(target: "cas_sdk", "the server answered a request that was never made");
            });
            self.event(text, &Scanned::alone(MessageKind::Response, env));
        }
    }

    /// An answer whose caller has gone: an event, with the method of the request.
    pub(super) fn late_response(&mut self, text: Text<'_>, env: Envelope, method: &str) {
        let all = [text.all, method].concat();
        let env = env.of_late(text.all.len()..all.len());
        let text = Text::appended(&all, text.line().len());
        self.event(text, &Scanned::alone(MessageKind::LateResponse, env));
    }

    /// Warns of a line without its text, which may be anything.
    fn warn(&self, len: u64, what: &'static str) {
        self.router.aside.trace(Level::WARN, move || {
            tracing::warn!(target: "cas_sdk", len, "a line from the server {what}");
        });
    }
}

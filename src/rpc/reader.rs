//! The reader task: what happens to a line, from the pipe to those who read it.

mod odd_lines;

use std::io;

use tokio::io::AsyncRead;

use super::{
    batch::Batch,
    block::Draft,
    envelope::{Envelope, MessageKind, Parts, Text},
    error::ErrorObject,
    line::{Line, Lines},
    protocol::Protocol,
    reply::RawReply,
    router::Router,
    scan::{Scan, Scanned},
    tap::Taps,
};

/// Reads until the end of the input, which is `Ok`, or an error. It waits for input, and for taps; for nobody else.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    mut lines: Lines<R>,
    router: &Router,
    taps: &Taps,
) -> io::Result<()> {
    let mut state = ReaderState::new(router.protocol);
    loop {
        let more = lines.fill().await?;
        Reader::new(router, &mut state).read(&mut lines, taps);
        taps.room().await;
        if !more {
            return Ok(());
        }
    }
}

/// What the reader keeps from one read to the next.
pub(super) struct ReaderState {
    scan: Scan,
    draft: Draft,
}

impl ReaderState {
    pub(super) fn new(protocol: &'static Protocol) -> Self {
        Self {
            scan: Scan::new(protocol),
            draft: Draft::default(),
        }
    }
}

/// Routes the lines of one read. Dropping it wakes the readers of what came.
pub(super) struct Reader<'r> {
    router: &'r Router,
    scan: &'r mut Scan,
    batch: Batch<'r>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(router: &'r Router, state: &'r mut ReaderState) -> Self {
        Self {
            router,
            scan: &mut state.scan,
            batch: Batch::new(router, &mut state.draft),
        }
    }

    /// Routes all lines that are there, without a wait in between.
    fn read<R: AsyncRead + Unpin>(mut self, lines: &mut Lines<R>, taps: &Taps) {
        while let Some(line) = lines.next() {
            match line {
                Line::Text(bytes) => {
                    let readers = taps.note(false, bytes);
                    if !readers.is_empty() {
                        self.batch.release(); // A waker is foreign code.
                        readers.wake();
                    }
                    self.line(bytes);
                }
                Line::TooLong { len, head } => {
                    taps.skip();
                    self.too_long(len, &head);
                }
            }
        }
    }

    pub(super) fn line(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(line) => self.text(line),
            Err(_) => self.not_utf8(bytes),
        }
    }

    fn text(&mut self, line: &str) {
        let scanned = self.scan.next(line);
        let appended;
        let text = if scanned.unescaped.is_empty() {
            Text::new(line)
        } else {
            appended = [line, &scanned.unescaped].concat();
            Text::appended(&appended, line.len())
        };
        if scanned.kind == MessageKind::Response {
            self.response(text, scanned.env);
        } else {
            self.warn_if_odd(scanned.kind, line.len());
            self.event(text, &scanned);
        }
    }

    /// A request, a notification, or what nobody understands: to the dialect, and to the subscriptions that take it.
    fn event(&mut self, text: Text<'_>, scanned: &Scanned) {
        let seq = self.batch.next_seq();
        let to = self.batch.delivery(text, scanned);
        if !to.class.observed {
            self.batch.add(seq, text, scanned, to);
            return;
        }
        let message = self.batch.message(seq, text, scanned);
        self.batch.release(); // The dialect may call back.
        if scanned.kind == MessageKind::Request {
            self.router.dialect.request(&message);
        } else {
            self.router.dialect.observe(&message);
        }
        self.batch.add_observed(&message, to.class);
    }

    /// An answer: to the hook and the caller of the request that it is for.
    fn response(&mut self, text: Text<'_>, env: Envelope) {
        let parts = Parts::new(text.all, env);
        let id = parts.id().and_then(|id| id.parse::<u64>().ok());
        let Some(pending) = id.and_then(|id| self.router.requests.answer(id)) else {
            return self.unexpected(id, text, env);
        };
        if pending.late.is_none() {
            self.batch.next_seq();
        }
        self.batch.flush(); // NB. What the server sent before the answer is queued before the caller wakes.
        drop(pending.place);
        let outcome = match parts.error().filter(|error| *error != "null") {
            Some(error) => Err(ErrorObject::parse(error)),
            None => Ok(RawReply {
                line: text.line().into(),
                result: parts.result_range(),
            }),
        };
        if let Some(hook) = pending.on_reply {
            hook(&outcome);
        }
        match pending.late {
            None => drop(pending.tx.send(Ok(outcome))),
            // NB. After the hook: who reads the event finds what the hook did.
            Some(method) => self.late_response(text, env, &method),
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

//! The lines of one read, on their way: one lock and, for each subscription, one wake-up.

use std::{sync::MutexGuard, time::Instant};

use super::{
    connection::NoAnswer,
    message::{Incoming, Kind, Parts},
    router::{Class, Pending, RawReply, Route, Router, State},
    scan::{Envelope, scan, scan_head},
};
use crate::error::rpc_error;

/// Routes the lines of one read: one lock and, for each subscription, one wake-up.
pub(crate) struct Batch<'r> {
    router: &'r Router,
    state: Option<MutexGuard<'r, State>>,
    now: Instant,
}

impl<'r> Batch<'r> {
    pub(crate) fn new(router: &'r Router) -> Self {
        Self {
            router,
            state: None,
            now: Instant::now(),
        }
    }

    pub(crate) fn line(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(line) => {
                self.text(line);
            }
            // One odd byte must not cost the answer or the end of a turn that it stands in.
            Err(error) => {
                tracing::warn!(%error, "a line from the server is not UTF-8");
                self.text(&String::from_utf8_lossy(bytes));
            }
        }
    }

    fn text(&mut self, line: &str) {
        let (kind, env) = scan(line);
        match kind {
            // Not the text: it may be anything.
            Kind::Malformed => {
                tracing::warn!(len = line.len(), "a line from the server is no JSON object");
                self.event(line, kind, env);
            }
            Kind::Unknown => {
                tracing::warn!(
                    "a message from the server is neither request, answer nor notification"
                );
                self.event(line, kind, env);
            }
            Kind::Response => self.response(line, env),
            _ => self.event(line, kind, env),
        }
    }

    /// A line that was too long to keep.
    pub(crate) fn too_long(&mut self, len: u64, head: &[u8]) {
        tracing::warn!(
            len,
            "a line from the server was over the limit and was skipped"
        );
        let head = String::from_utf8_lossy(head);
        let (kind, env) = scan_head(&head);
        let id = Parts::new(&head, env).id().unwrap_or_default();
        match kind {
            Kind::Response => {
                self.flush();
                let state = self.state.get_or_insert_with(|| self.router.lock());
                let pending = id
                    .parse()
                    .ok()
                    .and_then(|id: u64| state.pending.remove(&id));
                if let Some(Pending { tx, on_reply }) = pending {
                    self.state = None; // The hook is dropped without the lock.
                    drop(on_reply);
                    let _ = tx.send(Err(NoAnswer::TooLong(len, head.as_ref().into())));
                }
            }
            // The server would wait for ever.
            Kind::Request => {
                self.state = None;
                self.router.dialect.skipped(id, len);
            }
            _ => {}
        }
        self.event(&head, Kind::Malformed, Envelope::default());
    }

    fn event(&mut self, line: &str, kind: Kind, env: Envelope) {
        let now = self.now;
        let parts = Parts::new(line, env);
        let route = Route::of(kind, &parts);
        let dialect = &self.router.dialect;
        let state = self.state.get_or_insert_with(|| self.router.lock());
        state.seq += 1;
        let seq = state.seq;
        if !state.last.is(&route) {
            let State { last, subs, .. } = &mut **state;
            last.remember(&route);
            last.class = match kind {
                Kind::Notification => dialect.class(route.method.unwrap_or_default()),
                Kind::Request => Class {
                    vital: true,
                    observed: true,
                },
                _ => Class::default(),
            };
            last.to.extend(
                subs.iter()
                    .enumerate()
                    .filter(|(_, s)| (s.matcher)(&route))
                    .map(|(i, _)| i),
            );
        }
        let class = state.last.class;
        if state.last.to.is_empty() && !class.observed {
            return;
        }
        let message = Incoming::new(seq, now, line.into(), kind, env);
        if class.observed {
            self.state = None; // The dialect may call back.
            if kind == Kind::Request {
                dialect.request(&message);
            } else {
                dialect.observe(&message);
            }
        }
        let state = self.state.get_or_insert_with(|| self.router.lock());
        // NB. The list may have changed while the lock was let go; then `last` is invalid and is made anew.
        let State { last, subs, .. } = &mut **state;
        if last.valid {
            for &i in &last.to {
                subs[i].staged.push((message.clone(), class.vital));
            }
        } else {
            let route = Route::of(kind, &parts);
            for sub in subs.iter_mut().filter(|s| (s.matcher)(&route)) {
                sub.staged.push((message.clone(), class.vital));
            }
        }
    }

    fn response(&mut self, line: &str, env: Envelope) {
        // NB. What was said before the answer is in the queues before the caller wakes.
        self.flush();
        let state = self.state.get_or_insert_with(|| self.router.lock());
        state.seq += 1;
        let parts = Parts::new(line, env);
        let id = parts.id().and_then(|id| id.parse::<u64>().ok());
        let Some(Pending { tx, on_reply }) = id.and_then(|id| state.pending.remove(&id)) else {
            if id.is_some_and(|id| self.router.has_used(id)) {
                tracing::debug!("an answer came that nobody waits for any more");
            } else {
                tracing::warn!("the server answered what was never asked");
                self.event(line, Kind::Response, env);
            }
            return;
        };
        let outcome = match parts.error().filter(|e| *e != "null") {
            Some(error) => Err(rpc_error(error)),
            None => Ok(RawReply {
                line: line.into(),
                result: parts.result_range(),
            }),
        };
        if let Some(hook) = on_reply {
            self.state = None;
            hook(&outcome);
        }
        let _ = tx.send(Ok(outcome));
    }

    fn flush(&mut self) {
        if let Some(state) = &mut self.state {
            for sub in state.subs.iter_mut().filter(|s| !s.staged.is_empty()) {
                sub.queue.push_all(sub.staged.drain(..));
            }
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Staged messages outlive a lock that was let go in between, so look again.
        self.state.get_or_insert_with(|| self.router.lock());
        self.flush();
    }
}

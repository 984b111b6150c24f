//! The lines of one read, on their way: one lock and, for each subscription, one wake-up.

use std::{sync::MutexGuard, time::Instant};

use tracing::Level;

use super::{
    block::{Draft, TEXT},
    connection::NoAnswer,
    message::{Incoming, Kind, Parts, Run, Text},
    pending::Pending,
    router::{Class, RawReply, Route, Router, State},
    routes::Plan,
    scan::{Envelope, Scan, Scanned, scan_head},
};
use crate::error::rpc_error;

/// What the reader keeps from one read to the next.
#[derive(Default)]
pub(crate) struct Desk {
    scan: Scan,
    draft: Draft,
}

/// Routes the lines of one read: one lock and, for each subscription, one wake-up.
pub(crate) struct Batch<'r> {
    router: &'r Router,
    desk: &'r mut Desk,
    /// What is to be done with the lines of the draft. NB. It holds for as long as the lock does.
    plan: Plan,
    state: Option<MutexGuard<'r, State>>,
    now: Instant,
}

impl<'r> Batch<'r> {
    pub(crate) fn new(router: &'r Router, desk: &'r mut Desk) -> Self {
        Self {
            router,
            desk,
            plan: Plan::default(),
            state: None,
            now: Instant::now(),
        }
    }

    pub(crate) fn line(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(line) => self.text(line),
            // One odd byte must not cost the answer or the end of a turn that it stands in.
            Err(error) => {
                self.router.aside.trace(Level::WARN, move || {
                    tracing::warn!(target: "cas_sdk", %error, "a line from the server is not UTF-8");
                });
                self.text(&String::from_utf8_lossy(bytes));
            }
        }
    }

    fn text(&mut self, line: &str) {
        let scanned = self.desk.scan.next(line);
        let with_more;
        let text = if scanned.unescaped.is_empty() {
            Text::new(line)
        } else {
            with_more = [line, &scanned.unescaped].concat();
            Text::with_more(&with_more, line.len())
        };
        match scanned.kind {
            Kind::Response => {
                self.response(text, scanned.env);
                return;
            }
            // Not the text: it may be anything.
            Kind::Malformed => self.odd(line.len() as u64, "is no JSON object"),
            Kind::Unknown => self.odd(
                line.len() as u64,
                "is neither request, answer nor notification",
            ),
            Kind::Notification | Kind::Request | Kind::LateResponse => {}
        }
        self.event(text, &scanned);
    }

    /// A line that was too long to keep.
    pub(crate) fn too_long(&mut self, len: u64, head: &[u8]) {
        self.odd(len, "was over the limit and was skipped");
        self.desk.scan = Scan::default(); // It goes by the line before, which is this one.
        let head = String::from_utf8_lossy(head);
        let (kind, env) = scan_head(&head);
        let id = Parts::new(&head, env).id().unwrap_or_default();
        match kind {
            Kind::Response => {
                self.flush();
                let id = id.parse().ok();
                if let Some(Pending { tx, on_reply, .. }) =
                    id.and_then(|id| self.router.take_pending(id))
                {
                    if let Some(hook) = on_reply {
                        self.router.aside.let_go(hook);
                    }
                    let _ = tx.send(Err(NoAnswer::TooLong(len, head.as_ref().into())));
                }
            }
            // The server would wait for ever.
            Kind::Request => {
                self.release();
                self.router.dialect.skipped(id, len);
            }
            _ => {}
        }
        let odd = Scanned::odd(Kind::Malformed, Envelope::default());
        self.event(Text::new(&head), &odd);
    }

    fn event(&mut self, text: Text<'_>, scanned: &Scanned) {
        let &Scanned {
            kind, env, same, ..
        } = scanned;
        let router = self.router;
        let state = self.state.get_or_insert_with(|| router.lock());
        state.seq += 1;
        let seq = state.seq;
        let known = if same { state.routes.last() } else { None };
        let plan = match known {
            Some(plan) => plan,
            None => self.plan(text.all, kind, env),
        };
        if plan.class.observed {
            let message = Incoming::of(seq, self.now, text, kind, env);
            self.observed(&message, plan.class);
            return;
        }
        if self.state().routes.set(plan).is_empty() {
            return;
        }
        let line = text.line();
        if line.len() > TEXT || text.has_more() {
            self.finish();
            let message = Incoming::of(seq, self.now, text, kind, env);
            self.state().stage(plan, Run::one(message));
            return;
        }
        if plan != self.plan || !self.desk.draft.has_room(line.len()) {
            self.finish();
            self.plan = plan;
        }
        self.desk.draft.push(seq, line, kind, env);
    }

    /// What is done with lines like this.
    fn plan(&mut self, line: &str, kind: Kind, env: Envelope) -> Plan {
        let route = Route::of(kind, &Parts::new(line, env));
        if let Some(plan) = self.state().routes.find(&route) {
            return plan;
        }
        self.finish(); // Its plan may be forgotten.
        let class = match kind {
            Kind::Notification => self.router.dialect.class(route.method.unwrap_or_default()),
            Kind::Request => Class {
                vital: true,
                observed: true,
            },
            _ => Class::default(),
        };
        let state = self.state();
        let subs = state.subs.iter().enumerate();
        let to: Vec<_> = subs
            .filter(|(_, s)| (s.matcher)(&route))
            .map(|(at, _)| at)
            .collect();
        state.routes.learn(&route, class, &to)
    }

    /// What the dialect wants to see: it sees it first.
    fn observed(&mut self, message: &Incoming, class: Class) {
        self.release(); // The dialect may call back.
        if message.kind() == Kind::Request {
            self.router.dialect.request(message);
        } else {
            self.router.dialect.observe(message);
        }
        let state = self.state();
        let run = Run::one(message.clone());
        if let Some(plan) = state.routes.last() {
            state.stage(plan, run);
            return;
        }
        // NB. The subscriptions have changed meanwhile.
        let route = Route::of(message.kind(), &message.parts());
        for sub in &mut state.subs {
            if (sub.matcher)(&route) {
                sub.staged.push((run.clone(), class.vital));
            }
        }
    }

    fn response(&mut self, text: Text<'_>, env: Envelope) {
        let parts = Parts::new(text.all, env);
        let id = parts.id().and_then(|id| id.parse::<u64>().ok());
        let Some(pending) = id.and_then(|id| self.router.take_pending(id)) else {
            let aside = &self.router.aside;
            if id.is_some_and(|id| self.router.has_used(id)) {
                aside.trace(Level::DEBUG, || {
                    tracing::debug!(target: "cas_sdk", "an answer came that nobody waits for any more");
                });
            } else {
                aside.trace(Level::WARN, || {
                    tracing::warn!(target: "cas_sdk", "the server answered what was never asked");
                });
                self.event(text, &Scanned::odd(Kind::Response, env));
            }
            return;
        };
        let Pending {
            tx,
            on_reply,
            place,
            late,
        } = pending;
        // NB. What was said before the answer is in the queues before the caller wakes.
        if late.is_none() {
            self.state().seq += 1;
        }
        self.flush();
        drop(place);
        let line = text.line();
        let outcome = match parts.error().filter(|e| *e != "null") {
            Some(error) => Err(rpc_error(error)),
            None => Ok(RawReply {
                line: line.into(),
                result: parts.result_range(),
            }),
        };
        if let Some(hook) = on_reply {
            hook(&outcome);
        }
        match late {
            None => {
                let _ = tx.send(Ok(outcome));
            }
            // NB. After the hook: who reads it finds what it did.
            Some(method) => self.late(text, env, &method),
        }
    }

    /// An answer whose caller has gone.
    fn late(&mut self, text: Text<'_>, env: Envelope, method: &str) {
        let all = [text.all, method].concat();
        let env = env.of_late(text.all.len()..all.len());
        let text = Text::with_more(&all, text.line().len());
        self.event(text, &Scanned::odd(Kind::LateResponse, env));
    }

    fn state(&mut self) -> &mut State {
        let router = self.router;
        self.state.get_or_insert_with(|| router.lock())
    }

    /// Stages the lines of the draft.
    fn finish(&mut self) {
        if let Some(block) = self.desk.draft.finish(self.now) {
            let plan = self.plan;
            self.state().stage(plan, Run::whole(block));
        }
    }

    /// Lets the readers see all that came so far, and lets the lock go.
    fn flush(&mut self) {
        self.finish();
        let readers = self.state().flush();
        self.state = None;
        readers.wake();
    }

    /// Warns of a line.
    fn odd(&self, len: u64, what: &'static str) {
        self.router.aside.trace(Level::WARN, move || {
            tracing::warn!(target: "cas_sdk", "a line from the server {what}; it has {len} bytes");
        });
    }

    /// Lets the lock go.
    fn release(&mut self) {
        self.finish();
        self.state = None;
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Staged messages outlive a lock that was let go in between, so look again.
        self.flush();
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;

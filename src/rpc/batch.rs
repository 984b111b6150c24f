//! The lines of one read on their way to subscriptions: one lock for most of them, and one wake-up a subscription.

use std::{sync::MutexGuard, time::Instant};

use super::{
    block::{Draft, TEXT},
    envelope::{MessageKind, Parts, Route, Text},
    message::{Incoming, Run},
    protocol::Class,
    router::{Router, State},
    routes::Delivery,
    scan::Scanned,
    tap::Wakers,
};

/// The lines of one read. Dropping it lets the readers see them.
pub(super) struct Batch<'r> {
    router: &'r Router,
    draft: &'r mut Draft,
    /// Where the lines of the draft go. NB. It holds for as long as the lock is held.
    delivery: Delivery,
    state: Option<MutexGuard<'r, State>>,
    now: Instant,
}

impl<'r> Batch<'r> {
    pub(super) fn new(router: &'r Router, draft: &'r mut Draft) -> Self {
        Self {
            router,
            draft,
            delivery: Delivery::default(),
            state: None,
            now: Instant::now(),
        }
    }

    /// The number of the next message.
    pub(super) fn next_seq(&mut self) -> u64 {
        let state = self.state();
        state.seq += 1;
        state.seq
    }

    /// Decides how a message is treated and who gets it, or finds that this was decided before.
    pub(super) fn delivery(&mut self, text: Text<'_>, scanned: &Scanned) -> Delivery {
        if scanned.same
            && let Some(delivery) = self.state().routes.last()
        {
            return delivery;
        }
        let route = Route::of(scanned.kind, &Parts::new(text.all, scanned.env));
        if let Some(delivery) = self.state().routes.find(&route) {
            return delivery;
        }
        self.finish(); // What is learned next may push out where the draft goes.
        let class = match scanned.kind {
            MessageKind::Notification => {
                let protocol = self.router.protocol;
                protocol.class(route.method.unwrap_or_default())
            }
            MessageKind::Request => Class::VITAL_OBSERVED,
            _ => Class::default(),
        };
        let state = self.state();
        let takers = state.takers(&route);
        state.routes.learn(&route, class, &takers)
    }

    /// Adds a line: to the draft if it is short, else as a block of its own.
    pub(super) fn add(&mut self, seq: u64, text: Text<'_>, scanned: &Scanned, to: Delivery) {
        if self.state().routes.set(to).is_empty() {
            return;
        }
        let line = text.line();
        if line.len() > TEXT || text.is_appended() {
            self.finish();
            let message = self.message(seq, text, scanned);
            self.state().stage(to, Run::one(message));
            return;
        }
        if to != self.delivery || !self.draft.has_room(line.len()) {
            self.finish();
            self.delivery = to;
        }
        self.draft.push(seq, line, scanned.kind, scanned.env);
    }

    /// Adds a message that the dialect has seen; the lock was let go meanwhile.
    pub(super) fn add_observed(&mut self, message: &Incoming, class: Class) {
        let run = Run::one(message.clone());
        let state = self.state();
        if let Some(delivery) = state.routes.last() {
            state.stage(delivery, run);
            return;
        }
        // NB. The subscriptions have changed meanwhile.
        let takers = state.takers(&Route::of(message.kind(), &message.parts()));
        state.stage_for(&takers, class.vital, &run);
    }

    /// A message in a block of its own.
    pub(super) fn message(&self, seq: u64, text: Text<'_>, scanned: &Scanned) -> Incoming {
        Incoming::of(seq, self.now, text, scanned.kind, scanned.env)
    }

    /// Lets the readers see all that came so far, and lets the lock go.
    pub(super) fn flush(&mut self) {
        self.finish();
        let readers = self.state().flush();
        self.state = None;
        readers.wake();
    }

    /// Wakes readers without the lock: a waker is foreign code.
    pub(super) fn wake(&mut self, readers: Wakers) {
        if !readers.is_empty() {
            self.release();
            readers.wake();
        }
    }

    /// Lets the lock go, for foreign code to run.
    pub(super) fn release(&mut self) {
        self.finish();
        self.state = None;
    }

    /// Stages the lines of the draft.
    fn finish(&mut self) {
        if let Some(block) = self.draft.finish(self.now) {
            let delivery = self.delivery;
            self.state().stage(delivery, Run::whole(block));
        }
    }

    fn state(&mut self) -> &mut State {
        let router = self.router;
        self.state.get_or_insert_with(|| router.lock())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Staged messages outlive a lock that was let go in between, so look again.
        self.flush();
    }
}

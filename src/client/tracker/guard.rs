//! The guards: for a `turn/start` in flight, and for a turn that somebody reads or controls.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::{
    Phase, StartedBy, Tracker,
    turn::{Held, Shared, Standing, TurnEntry, Used},
};

impl Tracker {
    /// Call this before sending `turn/start`, and keep the result until the response has been
    /// routed.
    pub(crate) fn starting(self: &Arc<Self>, thread: &str) -> PendingStart {
        let mut state = self.lock();
        let entry = state.thread(thread);
        entry.starting += 1;
        PendingStart {
            tracker: self.clone(),
            thread: thread.to_owned(),
            running: entry.seen_running().map(|turn| turn.id.clone()),
            ends: entry.ends,
        }
    }

    /// Returns a guard that reads or controls a turn.
    pub(crate) fn guard(self: &Arc<Self>, thread: &str, turn: &str, role: GuardRole) -> TurnGuard {
        let mut state = self.lock();
        let closed = state.closed;
        let held = state.thread(thread).turn(turn).hold(closed);
        held.guards += 1;
        if role == GuardRole::Reader {
            held.readers += 1;
            held.unwanted = false;
        }
        let phase = held.phase.subscribe();
        drop(state);
        TurnGuard {
            tracker: self.clone(),
            thread: thread.to_owned(),
            turn: turn.to_owned(),
            role,
            phase,
        }
    }
}

/// A `turn/start` in flight; see [`Tracker::starting`].
pub(crate) struct PendingStart {
    tracker: Arc<Tracker>,
    thread: String,
    /// The turn that ran when the request was sent.
    running: Option<String>,
    /// How many ends of turns were known by then.
    ends: u64,
}

impl PendingStart {
    /// Takes the turn that the response names, which is started `by` this client unless it ran
    /// before this request. Returns a reader's guard of the turn, and whether the turn ran before.
    /// A `fresh` turn can't have run before.
    pub(crate) fn claim(self, turn: &str, by: StartedBy, fresh: bool) -> (TurnGuard, bool) {
        self.forget_namesake(turn);
        self.take(turn, by, fresh)
    }

    /// Takes a turn that its events have named, since the response names none.
    pub(crate) fn claim_seen(self, turn: &str, by: StartedBy) -> TurnGuard {
        self.take(turn, by, true).0
    }

    fn take(&self, turn: &str, by: StartedBy, fresh: bool) -> (TurnGuard, bool) {
        let guard = self.tracker.guard(&self.thread, turn, GuardRole::Reader);
        let mut state = self.tracker.lock();
        let thread = state.thread(&self.thread);
        // A thread that was resumed while it was busy stops being busy when its turn ends or
        // another turn begins.
        let ran_before = thread.is_joined() || self.running.as_deref() == Some(turn);
        let Some(held) = thread.find_mut(turn).and_then(|turn| turn.held.as_mut()) else {
            return (guard, false);
        };
        // If several requests were sent at once, the one that is answered first started the turn.
        let joined = !fresh && (ran_before || held.guards > 1 || held.ours);
        if !joined {
            held.ours = true;
            thread.named(turn).cause = Some(by);
        }
        drop(state);
        (guard, joined)
    }

    /// Forgets a turn that had ended when the request was sent: a scripted server may use an id
    /// twice.
    fn forget_namesake(&self, turn: &str) {
        let mut state = self.tracker.lock();
        let thread = state.thread(&self.thread);
        let ended_before = |known: &TurnEntry| (1..=self.ends).contains(&known.ended_as);
        if thread
            .find(turn)
            .is_some_and(|known| known.held.is_none() && ended_before(known))
        {
            thread.forget(turn);
        }
    }
}

impl Drop for PendingStart {
    fn drop(&mut self) {
        let mut state = self.tracker.lock();
        state.thread(&self.thread).starting -= 1;
    }
}

/// What a guard's holder does with a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardRole {
    /// Reads the turn. When the last reader is dropped, a turn that was started here is
    /// interrupted.
    Reader,
    /// Steers and interrupts the turn.
    Control,
}

/// A guard of somebody who reads or controls a turn; see [`Tracker::guard`].
#[derive(Debug)]
pub(crate) struct TurnGuard {
    tracker: Arc<Tracker>,
    pub(crate) thread: String,
    pub(crate) turn: String,
    role: GuardRole,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl TurnGuard {
    #[cfg(test)]
    pub(super) fn role(&self) -> GuardRole {
        self.role
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// What the turn has used so far; after the turn's end, all that it used.
    pub(crate) fn used(&self) -> Used {
        self.with(|held| held.used).unwrap_or_default()
    }

    /// Lets the turn run on when the last reader is dropped.
    pub(crate) fn detach(&self) {
        self.with(|held| held.detached = true);
    }

    /// Shares this reader's data with others, for as long as the data is kept alive.
    pub(crate) fn share(&self, shared: Weak<Shared>) {
        self.with(|held| {
            held.shared.retain(|other| other.strong_count() > 0);
            held.shared.push(shared);
        });
    }

    /// What the readers of the turn share.
    pub(crate) fn shared(&self) -> Vec<Arc<Shared>> {
        self.with(|held| held.shared.iter().filter_map(Weak::upgrade).collect())
            .unwrap_or_default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> Option<T> {
        let mut state = self.tracker.lock();
        let turn = state.threads.get_mut(&self.thread)?.find_mut(&self.turn)?;
        turn.held.as_deref_mut().map(act)
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let interrupt = {
            let mut state = self.tracker.lock();
            let Some(thread) = state.threads.get_mut(&self.thread) else {
                return;
            };
            let Some(turn) = thread.find_mut(&self.turn) else {
                return;
            };
            let Some(held) = turn.held.as_mut() else {
                return;
            };
            held.guards -= 1;
            let is_reader = self.role == GuardRole::Reader;
            if is_reader {
                held.readers -= 1;
                held.unwanted |=
                    held.readers == 0 && held.ours && !held.detached && !held.is_over();
            }
            let interrupt = is_reader && held.unwanted && *held.phase.borrow() == Phase::Started;
            turn.release();
            if turn.held.is_none() && turn.standing == Standing::Unknown {
                thread.forget(&self.turn);
            }
            interrupt
        };
        // The server refuses an interrupt until it has said that the turn has started. The reader
        // then sends the interrupt at that moment.
        if interrupt {
            self.tracker.interrupt(&self.thread, &self.turn, 0);
        }
    }
}

//! The guards: for a `turn/start` in flight, and for a turn that somebody reads or controls.

use std::{
    any::Any,
    sync::{Arc, Weak},
};

use tokio::sync::watch;

use super::{Phase, Tracker, TurnTrack, Used};

impl Tracker {
    /// Call this before sending `turn/start`, and keep the result until the response has been
    /// routed.
    pub(crate) fn starting(self: &Arc<Self>, thread: &str) -> PendingStart {
        let mut state = self.lock();
        let track = state.threads.entry(thread.to_owned()).or_default();
        track.starting += 1;
        PendingStart {
            tracker: self.clone(),
            thread: thread.to_owned(),
            active: track.active.as_ref().map(|active| active.id.clone()),
        }
    }

    /// Returns a guard that reads or controls a turn.
    pub(crate) fn guard(self: &Arc<Self>, thread: &str, turn: &str, role: GuardRole) -> TurnGuard {
        let mut state = self.lock();
        let closed = state.closed;
        let track = state.threads.entry(thread.to_owned()).or_default();
        let turn_track = track.turn(turn, closed);
        turn_track.guards += 1;
        if role == GuardRole::Reader {
            turn_track.readers += 1;
            turn_track.unwanted = false;
        }
        let phase = turn_track.phase.subscribe();
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
    active: Option<String>,
}

impl PendingStart {
    /// Takes the turn that the response names. Returns a reader's guard of the turn, and whether
    /// the turn ran before this request. A `fresh` turn can't have run before.
    pub(crate) fn claim(self, turn: &str, fresh: bool) -> (TurnGuard, bool) {
        let guard = self.tracker.guard(&self.thread, turn, GuardRole::Reader);
        let mut state = self.tracker.lock();
        let Some(track) = state.threads.get_mut(&self.thread) else {
            return (guard, false);
        };
        // A thread that was resumed while it was busy stops being busy when its turn ends or
        // another turn begins.
        let mut joined = track.busy || self.active.as_deref() == Some(turn);
        if let Some(known) = track.turns.get_mut(turn) {
            // If several requests were sent at once, the one that is answered first started the
            // turn.
            joined = !fresh && (joined || known.guards > 1 || known.ours);
            known.ours |= !joined;
        }
        drop(state);
        (guard, joined)
    }
}

impl Drop for PendingStart {
    fn drop(&mut self) {
        let mut state = self.tracker.lock();
        if let Some(track) = state.threads.get_mut(&self.thread) {
            track.starting -= 1;
            if track.starting == 0 {
                track.ended.clear();
            }
        }
        state.tidy(&self.thread);
    }
}

/// What a reader of a turn shares with others.
pub(crate) type Shared = dyn Any + Send + Sync;

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
    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// What the turn has used so far; after the turn's end, all that it used.
    pub(crate) fn used(&self) -> Used {
        self.with(|turn| turn.used).unwrap_or_default()
    }

    /// Lets the turn run on when the last reader is dropped.
    pub(crate) fn detach(&self) {
        self.with(|turn| turn.detached = true);
    }

    /// Shares this reader's data with others, for as long as the data is kept alive.
    pub(crate) fn share(&self, shared: Weak<Shared>) {
        self.with(|turn| {
            turn.shared.retain(|other| other.strong_count() > 0);
            turn.shared.push(shared);
        });
    }

    /// What the readers of the turn share.
    pub(crate) fn shared(&self) -> Vec<Arc<Shared>> {
        self.with(|turn| turn.shared.iter().filter_map(Weak::upgrade).collect())
            .unwrap_or_default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut TurnTrack) -> T) -> Option<T> {
        let mut state = self.tracker.lock();
        let track = state.threads.get_mut(&self.thread)?;
        track.turns.get_mut(&self.turn).map(act)
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let interrupt = {
            let mut state = self.tracker.lock();
            let Some(track) = state.threads.get_mut(&self.thread) else {
                return;
            };
            let Some(turn) = track.turns.get_mut(&self.turn) else {
                return;
            };
            turn.guards -= 1;
            if self.role == GuardRole::Reader {
                turn.readers -= 1;
                turn.unwanted |=
                    turn.readers == 0 && turn.ours && !turn.detached && !turn.is_over();
            }
            let interrupt = self.role == GuardRole::Reader
                && turn.unwanted
                && *turn.phase.borrow() == Phase::Started;
            if turn.is_spent() {
                track.turns.remove(&self.turn);
            }
            state.tidy(&self.thread);
            interrupt
        };
        // The server refuses an interrupt until it has said that the turn has started. The reader
        // then sends the interrupt at that moment.
        if interrupt {
            self.tracker.interrupt(&self.thread, &self.turn, 0);
        }
    }
}

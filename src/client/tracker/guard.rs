//! The guards: of a `turn/start` on its way, and of a turn that somebody reads or controls.

use std::{
    any::Any,
    sync::{Arc, Weak},
};

use tokio::sync::watch;

use super::{Phase, Tracker, TurnTrack, Used};

impl Tracker {
    /// To be called before `turn/start` is sent, and kept until its answer has been routed.
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

    /// Takes part in a turn.
    pub(crate) fn guard(self: &Arc<Self>, thread: &str, turn: &str, role: Role) -> TurnGuard {
        let mut state = self.lock();
        let closed = state.closed;
        let track = state.threads.entry(thread.to_owned()).or_default();
        let turn_track = track.turn(turn, closed);
        turn_track.guards += 1;
        if role == Role::Reader {
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

/// A `turn/start` on its way; see [`Tracker::starting`].
pub(crate) struct PendingStart {
    tracker: Arc<Tracker>,
    thread: String,
    /// The turn that ran when it was sent.
    active: Option<String>,
}

impl PendingStart {
    /// The answer names the turn: a reader's guard of it, and whether the turn ran before it was asked for, which it
    /// can't have if it is `fresh`.
    pub(crate) fn claim(self, turn: &str, fresh: bool) -> (TurnGuard, bool) {
        let guard = self.tracker.guard(&self.thread, turn, Role::Reader);
        let mut state = self.tracker.lock();
        let Some(track) = state.threads.get_mut(&self.thread) else {
            return (guard, false);
        };
        // A thread that was taken up while it was busy is no longer when its turn has ended or another has begun.
        let mut joined = track.busy || self.active.as_deref() == Some(turn);
        if let Some(known) = track.turns.get_mut(turn) {
            // Of several that were sent at once, the first one answered is the one that started it.
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

/// What somebody does at a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Watches it: when the last reader goes, a turn that was started here is interrupted.
    Reader,
    /// Steers and interrupts it.
    Control,
}

/// Somebody reads or controls a turn; see [`Tracker::guard`].
#[derive(Debug)]
pub(crate) struct TurnGuard {
    tracker: Arc<Tracker>,
    pub(crate) thread: String,
    pub(crate) turn: String,
    role: Role,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl TurnGuard {
    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// What the turn has used so far; at its end, all of it.
    pub(crate) fn used(&self) -> Used {
        self.with(|turn| turn.used).unwrap_or_default()
    }

    /// Lets the turn run on when the last reader goes.
    pub(crate) fn detach(&self) {
        self.with(|turn| turn.detached = true);
    }

    /// Shares what this reader has with others, as long as it is kept.
    pub(crate) fn share(&self, shared: Weak<Shared>) {
        self.with(|turn| {
            turn.shared.retain(|other| other.strong_count() > 0);
            turn.shared.push(shared);
        });
    }

    /// What other readers share.
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
            if self.role == Role::Reader {
                turn.readers -= 1;
                turn.unwanted |=
                    turn.readers == 0 && turn.ours && !turn.detached && !turn.is_over();
            }
            let interrupt = self.role == Role::Reader
                && turn.unwanted
                && *turn.phase.borrow() == Phase::Started;
            if turn.is_spent() {
                track.turns.remove(&self.turn);
            }
            state.tidy(&self.thread);
            interrupt
        };
        // Before the server has said that it has started, it would refuse; then the reader sends it at that moment.
        if interrupt {
            self.tracker.interrupt(&self.thread, &self.turn, 0);
        }
    }
}

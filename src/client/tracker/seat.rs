//! The guards: a `turn/start` on its way, and a place at a turn, to read it or to control it.

use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use super::{Phase, Tracker, Used};
use crate::turn::Progress;

impl Tracker {
    /// To be called before `turn/start` is sent, and kept until its answer has been routed.
    pub(crate) fn starting(self: &Arc<Self>, thread: &str) -> Starting {
        let mut state = self.lock();
        let track = state.threads.entry(thread.to_owned()).or_default();
        track.starting += 1;
        Starting {
            tracker: self.clone(),
            thread: thread.to_owned(),
            active: track.active.as_ref().map(|active| active.id.clone()),
        }
    }

    /// A place at a turn.
    pub(crate) fn seat(self: &Arc<Self>, thread: &str, turn: &str, role: Role) -> Seat {
        let mut state = self.lock();
        let closed = state.closed;
        let track = state.threads.entry(thread.to_owned()).or_default();
        let turn_track = track.turn(turn, closed);
        turn_track.seats += 1;
        if role == Role::Reader {
            turn_track.readers += 1;
            turn_track.unwanted = false;
        }
        let phase = turn_track.phase.subscribe();
        drop(state);
        Seat {
            tracker: self.clone(),
            thread: thread.to_owned(),
            turn: turn.to_owned(),
            role,
            phase,
        }
    }
}

/// A `turn/start` on its way; see [`Tracker::starting`].
pub(crate) struct Starting {
    tracker: Arc<Tracker>,
    thread: String,
    /// The turn that ran when it was sent.
    active: Option<String>,
}

impl Starting {
    /// The answer names the turn: a reader's place at it, and whether the turn ran before it was asked for, which it
    /// can't have if it is `fresh`.
    pub(crate) fn claim(self, turn: &str, fresh: bool) -> (Seat, bool) {
        let seat = self.tracker.seat(&self.thread, turn, Role::Reader);
        let mut state = self.tracker.lock();
        let Some(track) = state.threads.get_mut(&self.thread) else {
            return (seat, false);
        };
        // A thread that was taken up while it was busy is no longer when its turn has ended or another has begun.
        let mut joined = track.busy || self.active.as_deref() == Some(turn);
        if let Some(known) = track.turns.get_mut(turn) {
            // Of several that were sent at once, the first one answered is the one that started it.
            joined = !fresh && (joined || known.seats > 1 || known.ours);
            known.ours |= !joined;
        }
        drop(state);
        (seat, joined)
    }
}

impl Drop for Starting {
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

/// What somebody does at a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Watches it: when the last reader goes, a turn that was started here is interrupted.
    Reader,
    /// Steers and interrupts it.
    Control,
}

/// A place at a turn; see [`Tracker::seat`].
#[derive(Debug)]
pub(crate) struct Seat {
    tracker: Arc<Tracker>,
    pub(crate) thread: String,
    pub(crate) turn: String,
    role: Role,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Seat {
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

    /// Lets others have what this reader has.
    pub(crate) fn share(&self, progress: &Arc<Mutex<Progress>>) {
        self.with(|turn| {
            turn.progress.retain(|other| other.strong_count() > 0);
            turn.progress.push(Arc::downgrade(progress));
        });
    }

    /// What other readers have.
    pub(crate) fn shared(&self) -> Vec<Arc<Mutex<Progress>>> {
        self.with(|turn| turn.progress.iter().filter_map(Weak::upgrade).collect())
            .unwrap_or_default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut super::TurnTrack) -> T) -> Option<T> {
        let mut state = self.tracker.lock();
        let track = state.threads.get_mut(&self.thread)?;
        track.turns.get_mut(&self.turn).map(act)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let interrupt = {
            let mut state = self.tracker.lock();
            let Some(track) = state.threads.get_mut(&self.thread) else {
                return;
            };
            let Some(turn) = track.turns.get_mut(&self.turn) else {
                return;
            };
            turn.seats -= 1;
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

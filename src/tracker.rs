//! Which turn runs on which thread, told by the reader as it goes, so that steering and interrupting need no guesses.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::rpc::Incoming;

/// How far a turn has come.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Accepted; the server would refuse an interrupt that names it.
    Accepted,
    /// `turn/started` has come.
    Started,
    /// `turn/completed` has come; this is it.
    Ended(Incoming),
    /// The thread or the connection is gone.
    Lost,
}

#[derive(Debug, Default)]
pub(crate) struct Tracker(Mutex<HashMap<String, Track>>);

/// What is known of one thread. Kept only while a turn runs or somebody watches.
#[derive(Debug, Default)]
struct Track {
    active: Option<String>,
    /// The turns that somebody watches.
    watched: HashMap<String, (usize, watch::Sender<Phase>)>,
    /// How many `turn/start` are on their way. Meanwhile ends are kept: they may belong to one of them.
    starting: usize,
    ended: Vec<(String, Incoming)>,
    /// Turns that nobody wants any more, to be interrupted as soon as they can be.
    abandoned: Vec<String>,
}

impl Track {
    fn is_idle(&self) -> bool {
        self.active.is_none()
            && self.watched.is_empty()
            && self.starting == 0
            && self.abandoned.is_empty()
    }

    fn tell(&self, turn: &str, phase: Phase) {
        if let Some((_, watched)) = self.watched.get(turn) {
            watched.send_replace(phase);
        }
    }
}

impl Tracker {
    /// Returns whether nobody wants the turn any more.
    pub(crate) fn started(&self, thread: &str, turn: &str) -> bool {
        let mut threads = self.lock();
        let track = threads.entry(thread.to_owned()).or_default();
        track.active = Some(turn.to_owned());
        track.tell(turn, Phase::Started);
        let before = track.abandoned.len();
        track.abandoned.retain(|t| t != turn);
        track.abandoned.len() < before
    }

    /// Nobody wants the turn any more. Returns whether it runs, and so can be interrupted now; else
    /// [`started`](Self::started) will tell when it can.
    pub(crate) fn abandon(&self, thread: &str, turn: &str) -> bool {
        let mut threads = self.lock();
        let Some(track) = threads.get_mut(thread) else {
            return false;
        };
        if track.active.as_deref() == Some(turn) {
            return true;
        }
        let ended = track
            .watched
            .get(turn)
            .is_some_and(|(_, w)| !matches!(*w.borrow(), Phase::Accepted));
        if !ended {
            track.abandoned.push(turn.to_owned());
        }
        false
    }

    pub(crate) fn completed(&self, thread: &str, turn: &str, message: &Incoming) {
        let mut threads = self.lock();
        let Some(track) = threads.get_mut(thread) else {
            return;
        };
        if track.active.as_deref() == Some(turn) {
            track.active = None;
        }
        if track.starting > 0 {
            track.ended.push((turn.to_owned(), message.clone()));
        }
        track.abandoned.retain(|t| t != turn);
        track.tell(turn, Phase::Ended(message.clone()));
        if track.is_idle() {
            threads.remove(thread);
        }
    }

    pub(crate) fn lost(&self, thread: &str) {
        if let Some(track) = self.lock().remove(thread) {
            for (_, watched) in track.watched.into_values() {
                watched.send_replace(Phase::Lost);
            }
        }
    }

    pub(crate) fn all_lost(&self) {
        let threads: Vec<_> = self.lock().keys().cloned().collect();
        for thread in threads {
            self.lost(&thread);
        }
    }

    /// The turn that is known to run on a thread.
    pub(crate) fn active(&self, thread: &str) -> Option<String> {
        self.lock().get(thread)?.active.clone()
    }

    /// To be called before `turn/start` is sent, and kept until its answer has been routed.
    pub(crate) fn starting(self: &Arc<Self>, thread: &str) -> Starting {
        self.lock().entry(thread.to_owned()).or_default().starting += 1;
        Starting {
            tracker: self.clone(),
            thread: thread.to_owned(),
        }
    }

    /// Follows one turn.
    pub(crate) fn watch(self: &Arc<Self>, thread: &str, turn: &str) -> Watch {
        let mut threads = self.lock();
        let track = threads.entry(thread.to_owned()).or_default();
        let now = if let Some((_, end)) = track.ended.iter().find(|(t, _)| t == turn) {
            Phase::Ended(end.clone())
        } else if track.active.as_deref() == Some(turn) {
            Phase::Started
        } else {
            Phase::Accepted
        };
        let (count, watched) = track
            .watched
            .entry(turn.to_owned())
            .or_insert_with(|| (0, watch::Sender::new(now)));
        *count += 1;
        let phase = watched.subscribe();
        drop(threads);
        Watch {
            tracker: self.clone(),
            thread: thread.to_owned(),
            turn: turn.to_owned(),
            phase,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Track>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Tracker::starting`].
#[derive(Debug)]
pub(crate) struct Starting {
    tracker: Arc<Tracker>,
    thread: String,
}

impl Drop for Starting {
    fn drop(&mut self) {
        let mut threads = self.tracker.lock();
        if let Some(track) = threads.get_mut(&self.thread) {
            track.starting -= 1;
            if track.starting == 0 {
                track.ended.clear();
            }
            if track.is_idle() {
                threads.remove(&self.thread);
            }
        }
    }
}

/// Follows one turn; see [`Tracker::watch`].
#[derive(Debug)]
pub(crate) struct Watch {
    tracker: Arc<Tracker>,
    pub(crate) thread: String,
    pub(crate) turn: String,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut threads = self.tracker.lock();
        let Some(track) = threads.get_mut(&self.thread) else {
            return;
        };
        if let Some((count, _)) = track.watched.get_mut(&self.turn) {
            *count -= 1;
            if *count == 0 {
                track.watched.remove(&self.turn);
            }
        }
        if track.is_idle() {
            threads.remove(&self.thread);
        }
    }
}

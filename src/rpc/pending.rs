//! The requests that the server may hold: those that wait for their answer, and those whose callers have gone.
//!
//! A request keeps its place in the window until it is answered, whether its caller still waits or not: what counts is
//! what the server holds. A place that was given up is given back after [`HOLD`] if the server has answered a later
//! request, since it takes them in order. A server that answers nothing is asked again and again, but with one request
//! at a time, after pauses that double.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    connection::NoAnswer,
    router::{OnReply, Outcome, Router},
    window::Place,
};
use crate::error::CloseReason;

/// How long a place that was given up is kept at least, unless the answer comes.
pub(super) const HOLD: Duration = Duration::from_secs(5);

/// The longest pause between the requests that try a server that does not answer.
const LONGEST: Duration = Duration::from_secs(600);

/// How many answers are waited for whose callers have gone: the server never gives some.
const FORGOTTEN: usize = 1_024;

/// A request that may be answered.
pub(super) struct Pending {
    pub(super) tx: oneshot::Sender<Result<Outcome, NoAnswer>>,
    pub(super) on_reply: Option<OnReply>,
    pub(super) place: Option<Place>,
    /// Its method, once its caller has gone: what the answer that comes late is then known by.
    pub(super) late: Option<Box<str>>,
}

pub(super) struct Table {
    requests: HashMap<u64, Pending>,
    /// Those whose callers have gone, the oldest first; some may have been answered since.
    forgotten: VecDeque<u64>,
    /// Those of them that keep a place, and since when.
    held: VecDeque<(u64, Instant)>,
    /// The latest request that was answered.
    answered: u64,
    /// When a server that answers nothing may be tried next, and the pause after that.
    next_try: Option<Instant>,
    pause: Duration,
    pub(super) closed: Option<Arc<CloseReason>>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            requests: HashMap::new(),
            forgotten: VecDeque::new(),
            held: VecDeque::new(),
            answered: 0,
            next_try: None,
            pause: HOLD,
            closed: None,
        }
    }
}

/// What left the table, to be dropped once its lock is free.
#[must_use = "it is dropped without the lock"]
#[derive(Default)]
pub(super) struct Gone {
    places: Vec<Place>,
    /// Too old to be waited for any longer.
    _request: Option<Pending>,
}

impl Table {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn insert(&mut self, id: u64, pending: Pending) {
        self.requests.insert(id, pending);
    }

    /// Takes out a request that was not sent.
    fn withdraw(&mut self, id: u64) -> Option<Pending> {
        self.requests.remove(&id)
    }

    /// Takes out the request that an answer is for.
    pub(super) fn answer(&mut self, id: u64) -> (Option<Pending>, Gone) {
        let Some(pending) = self.requests.remove(&id) else {
            return (None, Gone::default());
        };
        self.answered = self.answered.max(id);
        self.next_try = None;
        self.pause = HOLD;
        let places = if self.held.is_empty() {
            Vec::new()
        } else {
            self.reclaim(Instant::now()).places
        };
        let freed = Gone {
            places,
            _request: None,
        };
        (Some(pending), freed)
    }

    pub(super) fn take_all(&mut self) -> HashMap<u64, Pending> {
        self.forgotten.clear();
        self.held.clear();
        std::mem::take(&mut self.requests)
    }

    /// The caller has gone.
    fn give_up(&mut self, id: u64, method: &str) -> Gone {
        let Some(pending) = self.requests.get_mut(&id) else {
            return Gone::default();
        };
        pending.late = Some(method.into());
        if pending.place.is_some() {
            self.held.push_back((id, Instant::now()));
        }
        self.forgotten.push_back(id);
        let oldest = (self.forgotten.len() > FORGOTTEN)
            .then(|| self.forgotten.pop_front())
            .flatten();
        Gone {
            places: Vec::new(),
            _request: oldest.and_then(|id| self.requests.remove(&id)),
        }
    }

    /// Takes back the places whose time is up.
    pub(super) fn reclaim(&mut self, now: Instant) -> Gone {
        let mut places = Vec::new();
        while let Some(&(id, since)) = self.held.front() {
            let Some(request) = self.requests.get_mut(&id) else {
                self.held.pop_front(); // It was answered.
                continue;
            };
            let is_proven = id < self.answered;
            if now < since + HOLD || (!is_proven && self.next_try.is_some_and(|at| now < at)) {
                break;
            }
            self.held.pop_front();
            places.extend(request.place.take());
            if !is_proven {
                self.next_try = Some(now + self.pause);
                self.pause = (self.pause * 2).min(LONGEST);
            }
        }
        Gone {
            places,
            _request: None,
        }
    }

    /// How long nothing can be taken back, as far as is known.
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        let Some((id, since)) = self.held.front() else {
            return HOLD;
        };
        let mut at = *since + HOLD;
        if *id >= self.answered {
            at = at.max(self.next_try.unwrap_or(at));
        }
        // At least a tick of the clock: who comes a moment early would spin.
        at.saturating_duration_since(now)
            .max(Duration::from_millis(1))
    }
}

/// The room for one answer. Dropped without it, it leaves what the server may still hold.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    pub(super) id: u64,
    /// No other request was on its way when this one was made.
    pub(super) alone: bool,
    method: &'a str,
    rx: oneshot::Receiver<Result<Outcome, NoAnswer>>,
    /// There is nothing left to give up.
    settled: bool,
    router: Arc<Router>,
}

impl<'a> Slot<'a> {
    pub(super) fn new(
        id: u64,
        alone: bool,
        method: &'a str,
        rx: oneshot::Receiver<Result<Outcome, NoAnswer>>,
        router: &Arc<Router>,
    ) -> Self {
        Self {
            id,
            alone,
            method,
            rx,
            settled: false,
            router: router.clone(),
        }
    }

    /// Waits for the answer or the end of the connection. Cancel safe.
    pub(super) async fn answer(&mut self) -> Result<Outcome, NoAnswer> {
        match (&mut self.rx).await {
            Ok(answer) => {
                self.settled = true;
                answer
            }
            Err(_) => Err(NoAnswer::Closed(self.router.close_reason())),
        }
    }

    /// The request was not sent after all; what it was made of.
    pub(super) fn withdraw(mut self) -> (Option<OnReply>, Option<Place>) {
        self.settled = true;
        let pending = self.router.pending().withdraw(self.id);
        pending.map_or((None, None), |p| (p.on_reply, p.place))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.settled {
            let gone = self.router.pending().give_up(self.id, self.method);
            drop(gone); // With its hook, so not under the lock.
        }
    }
}

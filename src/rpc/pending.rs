//! The requests that wait for their answer, and those whose callers have gone.
//!
//! A request keeps its place in the window until it is answered, whether its caller still waits or not: what counts is
//! what the server holds. A place that was given up is given back after [`HOLD`] if the server has answered a later
//! request, since it takes them in order. A server that answers nothing is asked again and again, but with one request
//! at a time, after pauses that double.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    error::{Closed, NoAnswer},
    reply::{OnReply, Outcome},
    window::Place,
};

/// How long a place that was given up is kept at least, unless the answer comes.
const HOLD: Duration = Duration::from_secs(5);

/// The longest pause between the requests that try a server that does not answer.
const LONGEST: Duration = Duration::from_secs(600);

/// How many answers are waited for whose callers have gone: the server never gives some.
const FORGOTTEN: usize = 1_024;

type Answer = Result<Outcome, NoAnswer>;

/// A request that may be answered.
pub(super) struct Pending {
    pub(super) tx: oneshot::Sender<Answer>,
    pub(super) on_reply: Option<OnReply>,
    pub(super) place: Option<Place>,
    /// Its method, once its caller has gone: what an answer that comes late is known by.
    pub(super) late: Option<Box<str>>,
}

/// All of them, and their ids. Apart from the subscriptions, so that callers do not wait while a flood is routed.
pub(super) struct PendingRequests {
    table: Mutex<Table>,
    next_id: AtomicU64,
}

impl PendingRequests {
    pub(super) fn new() -> Self {
        Self {
            table: Mutex::default(),
            next_id: AtomicU64::new(1),
        }
    }

    /// Makes room for the answer to a request that has this place in the window.
    pub(super) fn expect<'a>(
        self: &Arc<Self>,
        method: &'a str,
        on_reply: Option<OnReply>,
        place: Option<Place>,
    ) -> Result<Slot<'a>, Closed> {
        let (tx, rx) = oneshot::channel();
        let (id, alone) = self.insert(tx, on_reply, place)?;
        Ok(Slot {
            id,
            alone,
            method,
            rx,
            settled: false,
            requests: self.clone(),
        })
    }

    /// Makes room for an answer that only a hook waits for. `None` if the connection has ended.
    pub(super) fn expect_hooked(&self, on_reply: OnReply, place: Place) -> Option<u64> {
        let (tx, _) = oneshot::channel();
        let inserted = self.insert(tx, Some(on_reply), Some(place));
        inserted.ok().map(|(id, _)| id)
    }

    /// Adds a request. Returns its id, and whether no other one is on its way.
    fn insert(
        &self,
        tx: oneshot::Sender<Answer>,
        on_reply: Option<OnReply>,
        place: Option<Place>,
    ) -> Result<(u64, bool), Closed> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = Pending {
            tx,
            on_reply,
            place,
            late: None,
        };
        let mut table = self.lock();
        if let Some(closed) = table.closed.clone() {
            drop(table);
            drop(request); // With its hook, so not under the lock.
            return Err(closed);
        }
        let alone = table.requests.is_empty();
        table.requests.insert(id, request);
        Ok((id, alone))
    }

    /// Takes out the request that an answer is for.
    pub(super) fn answer(&self, id: u64) -> Option<Pending> {
        let (pending, freed) = self.lock().answer(id);
        drop(freed);
        pending
    }

    /// Takes back the places that were given up and whose time is up. Returns after what time there may be more.
    pub(super) fn reclaim(&self) -> Duration {
        let now = Instant::now();
        let mut table = self.lock();
        let freed = table.reclaim(now);
        let idle = table.idle_for(now);
        drop(table);
        drop(freed);
        idle
    }

    /// Whether a request has had this id.
    pub(super) fn has_used(&self, id: u64) -> bool {
        (1..self.next_id.load(Ordering::Relaxed)).contains(&id)
    }

    /// How many requests wait for an answer.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().requests.len()
    }

    /// Takes no more requests, and returns those that wait.
    pub(super) fn close(&self, closed: &Closed) -> impl Iterator<Item = Pending> + use<> {
        let mut table = self.lock();
        table.closed = Some(closed.clone());
        table.forgotten.clear();
        table.held.clear();
        std::mem::take(&mut table.requests).into_values()
    }

    /// Why the connection has ended, for a caller who knows that it has.
    pub(super) fn closed(&self) -> Closed {
        self.lock().closed.clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Table {
    requests: HashMap<u64, Pending>,
    /// Those whose callers have gone, the oldest first; some may have been answered since.
    forgotten: VecDeque<u64>,
    /// Those whose callers have gone and that keep a place, and since when.
    held: VecDeque<(u64, Instant)>,
    /// The latest request that was answered.
    answered: u64,
    /// When a server that answers nothing may be tried next, and the pause after that.
    next_try: Option<Instant>,
    pause: Duration,
    closed: Option<Closed>,
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
struct Gone {
    places: Vec<Place>,
    /// Too old to be waited for any longer.
    _request: Option<Pending>,
}

impl Table {
    /// Takes out the request that an answer is for.
    fn answer(&mut self, id: u64) -> (Option<Pending>, Gone) {
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
    fn reclaim(&mut self, now: Instant) -> Gone {
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
    fn idle_for(&self, now: Instant) -> Duration {
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

/// The room for one answer. Dropped without it, it leaves behind what the server may still hold.
pub(super) struct Slot<'a> {
    pub(super) id: u64,
    /// No other request was on its way when this one was made.
    pub(super) alone: bool,
    method: &'a str,
    rx: oneshot::Receiver<Answer>,
    /// There is nothing left to give up.
    settled: bool,
    requests: Arc<PendingRequests>,
}

impl Slot<'_> {
    /// Waits for the answer or the end of the connection. Cancel safe.
    pub(super) async fn answer(&mut self) -> Answer {
        match (&mut self.rx).await {
            Ok(answer) => {
                self.settled = true;
                answer
            }
            Err(_) => Err(NoAnswer::Closed(self.requests.closed())),
        }
    }

    /// Takes the request back, which was not sent after all. Returns what it was made of.
    pub(super) fn withdraw(mut self) -> (Option<OnReply>, Option<Place>) {
        self.settled = true;
        let pending = self.requests.lock().requests.remove(&self.id);
        pending.map_or((None, None), |p| (p.on_reply, p.place))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.settled {
            let gone = self.requests.lock().give_up(self.id, self.method);
            drop(gone); // With its hook, so not under the lock.
        }
    }
}

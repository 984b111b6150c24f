//! The requests that wait for a place, those that wait for their answer, and those whose callers have gone.
//!
//! A request keeps its place in the window until it is answered, whether its caller still waits or not: what counts is
//! what the server holds. A place that was given up is given back after [`HOLD`] if the server has answered a request that
//! was sent later, since it takes them in order. A server that answers nothing is asked again and again, but with one
//! request at a time, after pauses that double.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    error::{Closed, NoAnswer},
    reply::{OnReply, Outcome},
    window::{Lane, Place, Window},
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
    state: State,
    /// Its method, once its caller has gone: what an answer that comes late is known by.
    pub(super) late: Option<Box<str>>,
}

enum State {
    /// Its frame waits in the window.
    Waiting(Lane),
    Sent {
        /// How many requests were sent up to this one.
        order: u64,
        /// `None` once it was given back.
        place: Option<Place>,
    },
}

impl Pending {
    fn is_sent(&self) -> bool {
        matches!(self.state, State::Sent { .. })
    }

    /// Tells the caller that no answer will come.
    pub(super) fn close(self, closed: &Closed) {
        let none = if self.is_sent() {
            NoAnswer::Lost(closed.clone())
        } else {
            NoAnswer::Closed(closed.clone())
        };
        drop(self.tx.send(Err(none)));
    }
}

/// A request that is to be sent now.
pub(super) struct Ready {
    pub(super) frame: Vec<u8>,
    /// There is no other one, neither sent nor waiting.
    pub(super) alone: bool,
}

/// All of them, and their ids. Apart from the subscriptions, so that callers do not wait while a flood is routed.
pub(super) struct PendingRequests {
    table: Mutex<Table>,
    next_id: AtomicU64,
    /// A request waits for what only time, or a tap, can bring.
    stuck: Notify,
}

impl PendingRequests {
    pub(super) fn new(window: Window) -> Self {
        Self {
            table: Mutex::new(Table::new(window)),
            next_id: AtomicU64::new(1),
            stuck: Notify::new(),
        }
    }

    /// The id of the next request.
    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the frame of a request wait for its turn, and makes room for its answer.
    pub(super) fn add<'a>(
        self: &Arc<Self>,
        id: u64,
        method: &'a str,
        on_reply: Option<OnReply>,
        lane: Lane,
        frame: Vec<u8>,
    ) -> Result<Slot<'a>, Closed> {
        let (tx, rx) = oneshot::channel();
        self.insert(id, tx, on_reply, lane, frame)?;
        Ok(Slot {
            id,
            method,
            rx,
            settled: false,
            requests: self.clone(),
        })
    }

    /// The same for a request whose answer only a hook waits for. It is dropped if the connection has ended.
    pub(super) fn add_hooked(&self, id: u64, on_reply: OnReply, lane: Lane, frame: Vec<u8>) {
        let (tx, _) = oneshot::channel();
        drop(self.insert(id, tx, Some(on_reply), lane, frame));
    }

    fn insert(
        &self,
        id: u64,
        tx: oneshot::Sender<Answer>,
        on_reply: Option<OnReply>,
        lane: Lane,
        frame: Vec<u8>,
    ) -> Result<(), Closed> {
        let request = Pending {
            tx,
            on_reply,
            state: State::Waiting(lane),
            late: None,
        };
        let mut table = self.lock();
        if let Some(closed) = table.closed.clone() {
            drop(table);
            drop(request); // With its hook, so not under the lock.
            return Err(closed);
        }
        table.requests.insert(id, request);
        table.window.wait(lane, id, frame);
        let is_stuck = table.may_be_stuck();
        drop(table);
        if is_stuck {
            self.notify_stuck();
        }
        Ok(())
    }

    /// Whether a request waits although there is a place for it.
    pub(super) fn is_ready(&self) -> bool {
        self.lock().window.is_ready()
    }

    /// Takes out the next request that has a place now. It counts as sent.
    pub(super) fn next(&self) -> Option<Ready> {
        self.lock().next()
    }

    /// Has [`stuck`](Self::stuck) return.
    pub(super) fn notify_stuck(&self) {
        self.stuck.notify_one();
    }

    /// Waits until requests wait for what neither a caller nor an answer brings. Cancel safe.
    pub(super) async fn stuck(&self) {
        self.stuck.notified().await;
    }

    /// Takes out the request that an answer is for.
    pub(super) fn answer(&self, id: u64) -> Option<Pending> {
        self.lock().answer(id)
    }

    /// Takes back the places that were given up and whose time is up. Returns after what time there may be more, if that
    /// would help a request that waits.
    pub(super) fn reclaim(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut table = self.lock();
        table.reclaim(now);
        table.idle_for(now)
    }

    /// Whether a request has had this id.
    pub(super) fn has_used(&self, id: u64) -> bool {
        (1..self.next_id.load(Ordering::Relaxed)).contains(&id)
    }

    /// How many requests were sent and wait for an answer.
    #[cfg(test)]
    pub(super) fn sent(&self) -> usize {
        let table = self.lock();
        table.requests.values().filter(|p| p.is_sent()).count()
    }

    /// How many requests wait, for a place or for an answer.
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
        table.window.clear();
        std::mem::take(&mut table.requests).into_values()
    }

    /// Why the connection has ended, for a caller who knows that it has.
    fn closed(&self) -> Closed {
        self.lock().closed.clone().unwrap_or_default()
    }

    /// The caller has gone. Returns whether the request had been sent.
    fn give_up(&self, id: u64, method: &str) -> bool {
        let mut table = self.lock();
        let (was_sent, gone) = table.give_up(id, method);
        let is_stuck = table.may_be_stuck();
        drop(table);
        drop(gone); // With its hook, so not under the lock.
        if is_stuck {
            self.notify_stuck();
        }
        was_sent
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Table {
    requests: HashMap<u64, Pending>,
    window: Window,
    /// How many requests were sent.
    sent: u64,
    /// Those whose callers have gone, the oldest first; some may have been answered since.
    forgotten: VecDeque<u64>,
    /// Those whose callers have gone and that keep a place, and since when.
    held: VecDeque<(u64, Instant)>,
    /// The `order` of the latest request that was answered.
    answered: u64,
    /// When a server that answers nothing may be tried next, and the pause after that.
    next_try: Option<Instant>,
    pause: Duration,
    closed: Option<Closed>,
}

impl Table {
    fn new(window: Window) -> Self {
        Self {
            requests: HashMap::new(),
            window,
            sent: 0,
            forgotten: VecDeque::new(),
            held: VecDeque::new(),
            answered: 0,
            next_try: None,
            pause: HOLD,
            closed: None,
        }
    }

    fn next(&mut self) -> Option<Ready> {
        let (id, frame, place) = self.window.next()?;
        self.sent += 1;
        // NB. What waits in the window is in the map, for as long as it waits.
        if let Some(request) = self.requests.get_mut(&id) {
            request.state = State::Sent {
                order: self.sent,
                place: Some(place),
            };
        }
        let alone = self.requests.len() == 1;
        Some(Ready { frame, alone })
    }

    /// Takes out the request that an answer is for, and gives back its place.
    fn answer(&mut self, id: u64) -> Option<Pending> {
        // An answer to what was not sent yet is none.
        let State::Sent { order, place } = &mut self.requests.get_mut(&id)?.state else {
            return None;
        };
        self.answered = self.answered.max(*order);
        if let Some(place) = place.take() {
            self.window.give_back(place);
        }
        self.next_try = None;
        self.pause = HOLD;
        let pending = self.requests.remove(&id);
        if !self.held.is_empty() {
            self.reclaim(Instant::now());
        }
        pending
    }

    /// The caller has gone. Returns whether the request had been sent, and what is to be dropped without the lock.
    fn give_up(&mut self, id: u64, method: &str) -> (bool, Option<Pending>) {
        let Some(pending) = self.requests.get_mut(&id) else {
            return (true, None); // Answered at this moment.
        };
        match pending.state {
            State::Waiting(lane) => {
                self.window.withdraw(lane, id);
                return (false, self.requests.remove(&id));
            }
            State::Sent { place, .. } => {
                pending.late = Some(method.into());
                if place.is_some() {
                    self.held.push_back((id, Instant::now()));
                }
            }
        }
        self.forgotten.push_back(id);
        let oldest = (self.forgotten.len() > FORGOTTEN)
            .then(|| self.forgotten.pop_front())
            .flatten();
        (true, oldest.and_then(|id| self.requests.remove(&id)))
    }

    /// Takes back the places whose time is up.
    fn reclaim(&mut self, now: Instant) {
        while let Some(&(id, since)) = self.held.front() {
            let Some(Pending {
                state: State::Sent { order, place },
                ..
            }) = self.requests.get_mut(&id)
            else {
                self.held.pop_front(); // It was answered.
                continue;
            };
            let is_proven = *order < self.answered;
            if now < since + HOLD || (!is_proven && self.next_try.is_some_and(|at| now < at)) {
                break;
            }
            self.held.pop_front();
            if let Some(place) = place.take() {
                self.window.give_back(place);
            }
            if !is_proven {
                self.next_try = Some(now + self.pause);
                self.pause = (self.pause * 2).min(LONGEST);
            }
        }
    }

    /// Whether a request waits while places are held that only time gives back.
    fn may_be_stuck(&self) -> bool {
        !self.held.is_empty() && self.window.is_awaited()
    }

    /// How long nothing can be taken back, as far as is known; `None` if nothing waits for it.
    fn idle_for(&self, now: Instant) -> Option<Duration> {
        let (id, since) = self.held.front().filter(|_| self.window.is_awaited())?;
        let mut at = *since + HOLD;
        let order = self.requests.get(id).map(|request| &request.state);
        if matches!(order, Some(State::Sent { order, .. }) if *order >= self.answered) {
            at = at.max(self.next_try.unwrap_or(at));
        }
        // At least a tick of the clock: who comes a moment early would spin.
        let idle = at.saturating_duration_since(now);
        Some(idle.max(Duration::from_millis(1)))
    }
}

/// The room for one answer. Dropped without it, it leaves behind what the server may still hold.
pub(crate) struct Slot<'a> {
    pub(super) id: u64,
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
            Err(_) => Err(NoAnswer::Lost(self.requests.closed())),
        }
    }

    /// Stops waiting. Returns whether the request had been sent.
    pub(super) fn give_up(&mut self) -> bool {
        self.settled = true;
        self.requests.give_up(self.id, self.method)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.requests.give_up(self.id, self.method);
        }
    }
}

//! The requests that wait for a place, those that wait for their answer, and those whose callers have gone.
//!
//! A request keeps its place in the window until it is answered, whether its caller still waits or not: what counts is
//! what the server holds. A place that was given up is given back after [`HOLD`] if the server has answered a request that
//! was sent later, since it takes them in order. A server that answers nothing is asked again and again, but with one
//! request at a time, after pauses that double.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    aside::Aside,
    error::{Closed, NoAnswer},
    lock::Lock,
    outgoing::{Answer, OutgoingRequest, Pending, Ready, Waiting},
    window::Window,
};

/// How long a place that was given up is kept at least, unless the answer comes.
const HOLD: Duration = Duration::from_secs(5);

/// The longest pause between the requests that try a server that does not answer.
const LONGEST: Duration = Duration::from_secs(600);

/// How many answers are waited for whose callers have gone: the server never gives some.
const FORGOTTEN: usize = 1_024;

/// The requests that a connection leaves behind at its end.
pub(super) struct Unanswered {
    sent: HashMap<u64, Pending>,
    waiting: Vec<Waiting>,
}

impl Unanswered {
    /// Tells the callers that no answer will come. The hooks are dropped aside: they may hold handlers.
    pub(super) fn close(self, closed: &Closed, aside: &Aside) {
        for mut pending in self.sent.into_values() {
            if let Some(hook) = pending.on_reply.take() {
                aside.let_go(hook);
            }
            pending.tell(Err(NoAnswer::Lost(closed.clone())));
        }
        for Waiting { request, tx } in self.waiting {
            if let Some(hook) = request.on_reply {
                aside.let_go(hook);
            }
            if let Some(tx) = tx {
                drop(tx.send(Err(NoAnswer::Closed(closed.clone()))));
            }
        }
    }
}

/// All of them, and their ids. Apart from the subscriptions, so that callers do not wait while a flood is routed.
pub(super) struct PendingRequests {
    table: Lock<Table>,
    next_id: AtomicU64,
    /// A request waits for what only time, or a tap, can bring.
    stuck: Notify,
}

impl PendingRequests {
    pub(super) fn new(window: Window<Waiting>) -> Self {
        Self {
            table: Lock::new(Table::new(window)),
            next_id: AtomicU64::new(1),
            stuck: Notify::new(),
        }
    }

    /// The id of the next request.
    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Has a request wait for its turn, and makes room for its answer.
    pub(super) fn add(self: &Arc<Self>, id: u64, request: OutgoingRequest) -> Result<Slot, Closed> {
        let (tx, rx) = oneshot::channel();
        self.insert(
            id,
            Waiting {
                request,
                tx: Some(tx),
            },
        )?;
        Ok(Slot {
            id,
            rx,
            settled: false,
            requests: self.clone(),
        })
    }

    /// The same for a request whose answer only a hook waits for. It is dropped if the connection has ended.
    pub(super) fn add_hooked(&self, id: u64, request: OutgoingRequest) {
        drop(self.insert(id, Waiting { request, tx: None }));
    }

    fn insert(&self, id: u64, waiting: Waiting) -> Result<(), Closed> {
        let mut table = self.table.lock();
        if let Some(closed) = table.closed.clone() {
            drop(table);
            drop(waiting); // With its hook, so not under the lock.
            return Err(closed);
        }
        table.window.wait(waiting.request.lane, id, waiting);
        let is_stuck = table.may_be_stuck();
        drop(table);
        if is_stuck {
            self.notify_stuck();
        }
        Ok(())
    }

    /// Whether a request waits although there is a place for it.
    pub(super) fn is_ready(&self) -> bool {
        self.table.lock().window.is_ready()
    }

    /// Takes out the next request that has a place now. It counts as sent.
    pub(super) fn next(&self) -> Option<Ready> {
        let mut table = self.table.lock();
        let held = table.held.len();
        let (ready, given_up) = table.next()?;
        let is_stuck = table.held.len() > held && table.may_be_stuck();
        drop(table);
        drop(given_up); // With its hook, so not under the lock.
        if is_stuck {
            self.notify_stuck();
        }
        Some(ready)
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
        let mut table = self.table.lock();
        let was_tried = table.next_try.is_some();
        let pending = table.answer(id)?;
        // A server that answers again is not spared any longer.
        let is_stuck = was_tried && table.may_be_stuck();
        drop(table);
        if is_stuck {
            self.notify_stuck();
        }
        Some(pending)
    }

    /// Takes back the places that were given up and whose time is up. Returns after what time there may be more, if that
    /// would help a request that waits.
    pub(super) fn reclaim(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut table = self.table.lock();
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
        self.table.lock().sent.len()
    }

    /// Whether a request waits, for a place or for an answer.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let table = self.table.lock();
        table.sent.is_empty() && !table.window.is_awaited()
    }

    /// Takes no more requests, and returns those that wait.
    pub(super) fn close(&self, closed: &Closed) -> Unanswered {
        let mut table = self.table.lock();
        table.closed = Some(closed.clone());
        table.forgotten.clear();
        table.held.clear();
        Unanswered {
            sent: std::mem::take(&mut table.sent),
            waiting: table.window.take(),
        }
    }

    /// Why the connection has ended, for a caller who knows that it has.
    fn closed(&self) -> Closed {
        self.table.lock().closed.clone().unwrap_or_default()
    }

    /// The caller has gone. Returns whether the request had been sent.
    fn give_up(&self, id: u64) -> bool {
        let mut table = self.table.lock();
        let withdrawn = table.window.withdraw(id);
        let was_sent = withdrawn.is_none();
        let oldest = if was_sent { table.forget(id) } else { None };
        let is_stuck = table.may_be_stuck();
        drop(table);
        drop((withdrawn, oldest)); // With their hooks, so not under the lock.
        if is_stuck {
            self.notify_stuck();
        }
        was_sent
    }
}

struct Table {
    window: Window<Waiting>,
    /// The requests that were sent and are not answered.
    sent: HashMap<u64, Pending>,
    /// How many requests were sent.
    count: u64,
    /// Those for whose answers no caller waits, the oldest first.
    forgotten: VecDeque<u64>,
    /// Those for whose answers no caller waits and that keep a place, and since when; some may have been answered.
    held: VecDeque<(u64, Instant)>,
    /// The `order` of the latest request that was answered.
    answered: u64,
    /// When a server that answers nothing may be tried next, and the pause after that.
    next_try: Option<Instant>,
    pause: Duration,
    closed: Option<Closed>,
}

impl Table {
    fn new(window: Window<Waiting>) -> Self {
        Self {
            window,
            sent: HashMap::new(),
            count: 0,
            forgotten: VecDeque::new(),
            held: VecDeque::new(),
            answered: 0,
            next_try: None,
            pause: HOLD,
            closed: None,
        }
    }

    /// Takes out the next request that has a place, and the one that is given up for it.
    fn next(&mut self) -> Option<(Ready, Option<Pending>)> {
        let (id, Waiting { request, tx }, place) = self.window.next()?;
        self.count += 1;
        let is_hooked = tx.is_none();
        let pending = Pending {
            tx,
            on_reply: request.on_reply,
            method: request.method.clone(),
            is_forgotten: false,
            order: self.count,
            place: Some(place),
        };
        self.sent.insert(id, pending);
        let given_up = is_hooked.then(|| self.leave(id)).flatten();
        let ready = Ready {
            id,
            method: request.method,
            params: request.params,
            alone: self.sent.len() == 1 && !self.window.is_awaited(),
        };
        Some((ready, given_up))
    }

    /// Takes out the request that an answer is for, and gives back its place. An answer to what was not sent yet is none.
    fn answer(&mut self, id: u64) -> Option<Pending> {
        let pending = self.sent.remove(&id)?;
        self.answered = self.answered.max(pending.order);
        if let Some(place) = pending.place {
            self.window.give_back(place);
        }
        if pending.is_forgotten || pending.tx.is_none() {
            self.forgotten.retain(|other| *other != id);
        }
        self.next_try = None;
        self.pause = HOLD;
        if !self.held.is_empty() {
            self.reclaim(Instant::now());
        }
        Some(pending)
    }

    /// The caller of a request that was sent has gone. Returns the request that is given up for it.
    fn forget(&mut self, id: u64) -> Option<Pending> {
        let pending = self.sent.get_mut(&id)?; // Or it is answered at this moment.
        pending.is_forgotten = true;
        self.leave(id)
    }

    /// No caller waits for the answer to a request that was sent. Too many of the kind are not waited for: returns the oldest.
    fn leave(&mut self, id: u64) -> Option<Pending> {
        self.held.push_back((id, Instant::now()));
        self.forgotten.push_back(id);
        if self.forgotten.len() <= FORGOTTEN {
            return None;
        }
        let mut oldest = self.sent.remove(&self.forgotten.pop_front()?)?;
        if let Some(place) = oldest.place.take() {
            self.window.give_back(place);
        }
        Some(oldest)
    }

    /// Takes back the places whose time is up.
    fn reclaim(&mut self, now: Instant) {
        while let Some(&(id, since)) = self.held.front() {
            let Some(pending) = self.sent.get_mut(&id) else {
                self.held.pop_front(); // It was answered.
                continue;
            };
            let is_proven = pending.order < self.answered;
            if now < since + HOLD || (!is_proven && self.next_try.is_some_and(|at| now < at)) {
                break;
            }
            self.held.pop_front();
            if let Some(place) = pending.place.take() {
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
        let pending = self.sent.get(id);
        if pending.is_some_and(|pending| pending.order >= self.answered) {
            at = at.max(self.next_try.unwrap_or(at));
        }
        // At least a tick of the clock: who comes a moment early would spin.
        let idle = at.saturating_duration_since(now);
        Some(idle.max(Duration::from_millis(1)))
    }
}

/// The room for one answer. Dropped without it, it leaves behind what the server may still hold.
pub(crate) struct Slot {
    pub(super) id: u64,
    rx: oneshot::Receiver<Answer>,
    /// There is nothing left to give up.
    settled: bool,
    requests: Arc<PendingRequests>,
}

impl Slot {
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
        self.requests.give_up(self.id)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.settled {
            self.requests.give_up(self.id);
        }
    }
}

//! The subscriptions of a connection, and what routes lines to them.
//!
//! One lock guards them. The reader task takes it, and waits for nobody under it; it is let go before foreign code runs.

use std::{
    fmt,
    sync::{Arc, MutexGuard, Weak},
    task::Waker,
};

use super::{
    aside::Aside,
    envelope::Route,
    error::Closed,
    lock::Lock,
    message::{Incoming, Run},
    outgoing::Waiting,
    pending::PendingRequests,
    protocol::Protocol,
    queue::{Bounds, Queue},
    routes::{Delivery, Routes},
    tap::Wakers,
    window::Window,
};

/// What the protocol on top does with messages. Called in the reader task, in order; must not block.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// A notification of a class that is observed, before any subscription sees it.
    fn observe(&self, message: &Incoming);
    /// A request from the server.
    fn request(&self, message: &Incoming);
    /// A request from the server that was too long to be read, and its length in bytes.
    fn skipped(&self, id: &str, len: u64);
    /// The connection has ended.
    fn closed(&self);
}

/// A filter: whether a subscription takes the messages of a route. Runs in the reader task; must not block.
pub(crate) type Matcher = Arc<dyn Fn(&Route<'_>) -> bool + Send + Sync>;

pub(crate) struct Router {
    state: Lock<State>,
    pub(super) protocol: &'static Protocol,
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) requests: Arc<PendingRequests>,
    /// For what the reader has to say.
    pub(crate) aside: Aside,
}

pub(super) struct State {
    pub(super) seq: u64,
    pub(super) subscribers: Vec<Subscriber>,
    next_id: u64,
    pub(super) routes: Routes,
    closed: Option<Closed>,
}

pub(super) struct Subscriber {
    id: u64,
    matcher: Matcher,
    queue: Arc<Queue>,
    /// What it gets when it is flushed, and whether that is vital.
    staged: Vec<(Run, bool)>,
}

impl State {
    /// Asks every filter who takes the messages of a route.
    pub(super) fn takers(&self, route: &Route<'_>) -> Vec<usize> {
        let subscribers = self.subscribers.iter().enumerate();
        let takers = subscribers.filter(|(_, s)| (s.matcher)(route));
        takers.map(|(at, _)| at).collect()
    }

    /// Hands lines to the subscriptions of a delivery, which see them when they are flushed.
    pub(super) fn stage(&mut self, delivery: Delivery, run: Run) {
        let Self {
            routes,
            subscribers,
            ..
        } = self;
        let vital = delivery.class.vital;
        if let Some((last, others)) = routes.set(delivery).split_last() {
            for &at in others {
                subscribers[at].staged.push((run.clone(), vital));
            }
            subscribers[*last].staged.push((run, vital));
        }
    }

    /// The same for subscriptions that were found without the cache.
    pub(super) fn stage_for(&mut self, takers: &[usize], vital: bool, run: &Run) {
        for &at in takers {
            self.subscribers[at].staged.push((run.clone(), vital));
        }
    }

    /// Lets the readers of the subscriptions see what was staged. The caller wakes them, without the lock.
    pub(super) fn flush(&mut self) -> Wakers {
        let subscribers = self.subscribers.iter_mut();
        subscribers.filter_map(Subscriber::flush).collect()
    }
}

impl Subscriber {
    fn flush(&mut self) -> Option<Waker> {
        if self.staged.is_empty() {
            return None;
        }
        self.queue.push_all(self.staged.drain(..))
    }
}

impl Router {
    pub(crate) fn new(
        protocol: &'static Protocol,
        dialect: Arc<dyn Dialect>,
        aside: Aside,
        window: Window<Waiting>,
    ) -> Self {
        Self {
            state: Lock::new(State {
                seq: 0,
                subscribers: Vec::new(),
                next_id: 0,
                routes: Routes::default(),
                closed: None,
            }),
            protocol,
            dialect,
            requests: Arc::new(PendingRequests::new(window)),
            aside,
        }
    }

    /// Adds a subscription. It is closed from the start if the connection has ended.
    pub(crate) fn subscribe(self: &Arc<Self>, matcher: Matcher, bounds: Bounds) -> Subscription {
        let queue = Arc::new(Queue::new(bounds));
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        if let Some(closed) = &state.closed {
            queue.close(closed);
        } else {
            state.subscribers.push(Subscriber {
                id,
                matcher,
                queue: queue.clone(),
                staged: Vec::new(),
            });
            state.routes.forget();
        }
        drop(state);
        Subscription {
            id,
            queue,
            router: self.clone(),
        }
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed.clone()
    }

    /// Ends everything that waits, once.
    pub(crate) fn close(&self, closed: &Closed) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(closed.clone());
        let subscribers = std::mem::take(&mut state.subscribers);
        state.routes.forget();
        drop(state);
        let unanswered = self.requests.close(closed);
        self.dialect.closed();
        for mut subscriber in subscribers {
            let reader = subscriber.flush();
            subscriber.queue.close(closed);
            if let Some(reader) = reader {
                reader.wake();
            }
        }
        unanswered.close(closed, &self.aside);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// A live subscription; dropping it ends it.
pub(crate) struct Subscription {
    id: u64,
    pub(crate) queue: Arc<Queue>,
    router: Arc<Router>,
}

impl Subscription {
    /// Another subscription to the same messages, with the same ones still to be read.
    pub(crate) fn fork(&self) -> Self {
        let mut state = self.router.lock();
        let queue = Arc::new(self.queue.copy());
        let id = state.next_id;
        state.next_id += 1;
        let twin = state
            .subscribers
            .iter()
            .find(|s| s.id == self.id)
            .map(|s| Subscriber {
                id,
                matcher: s.matcher.clone(),
                queue: queue.clone(),
                staged: s.staged.clone(),
            });
        state.subscribers.extend(twin); // Without one the connection has ended, and the queue says so.
        state.routes.forget();
        drop(state);
        Self {
            id,
            queue,
            router: self.router.clone(),
        }
    }

    /// A handle that narrows the subscription, for a hook that learns from an answer what it is about.
    pub(crate) fn rebind(&self) -> Rebind {
        self.queue.tally();
        Rebind {
            id: self.id,
            queue: self.queue.clone(),
            router: Arc::downgrade(&self.router),
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.router.lock();
        let gone = state
            .subscribers
            .iter()
            .position(|s| s.id == self.id)
            .map(|at| state.subscribers.remove(at));
        state.routes.forget();
        drop(state);
        drop(gone); // With all its messages, so not under the lock.
    }
}

/// Narrows a [`Subscription`]; see [`Subscription::rebind`].
pub(crate) struct Rebind {
    id: u64,
    queue: Arc<Queue>,
    router: Weak<Router>,
}

impl Rebind {
    /// Has the subscription take only what `matcher` takes, and keep only that of what is queued.
    pub(crate) fn to(&self, matcher: &Matcher) {
        let Some(router) = self.router.upgrade() else {
            return;
        };
        let mut state = router.lock();
        let mut reader = None;
        let subscriber = state.subscribers.iter_mut().find(|s| s.id == self.id);
        if let Some(subscriber) = subscriber {
            subscriber.matcher = matcher.clone();
            reader = subscriber.flush();
        }
        state.routes.forget();
        drop(state);
        self.queue.retain(
            |m| matcher(&Route::of(m.kind(), &m.parts())),
            |subject| matcher(&Route::of_subject(subject)),
        );
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

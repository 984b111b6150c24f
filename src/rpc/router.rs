//! Routing: a line to the request that waits for it, to the subscriptions that match it, or to the dialect.
//!
//! Everything here runs in the reader task and waits for nobody. The one lock guards the pending requests and the
//! subscriptions; it is let go before foreign code runs.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    aside::Aside,
    connection::NoAnswer,
    message::{Incoming, Kind, Parts, Run},
    pending::{Gone, Pending, Slot, Table},
    queue::{Bounds, Queue},
    routes::{Plan, Routes},
    tap::Wakers,
    window::Place,
};
use crate::error::{CloseReason, RpcError};

/// What the protocol on top has to say about messages. Called in the reader task, in order; must not block.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// How a notification is treated.
    fn class(&self, method: &str) -> Class;
    /// A notification of a class that is observed, before any subscription sees it.
    fn observe(&self, message: &Incoming);
    /// A request from the server.
    fn request(&self, message: &Incoming);
    /// A request from the server that was too long to be read, of so many bytes.
    fn skipped(&self, id: &str, len: u64);
    /// The connection has ended.
    fn closed(&self, reason: &Arc<CloseReason>);
}

/// How a notification is treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Class {
    /// It takes the ring that a flood can't touch.
    pub(crate) vital: bool,
    /// The dialect wants to see it.
    pub(crate) observed: bool,
}

/// What a filter may look at. All that is decided from this is the same for messages that agree in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Route<'a> {
    pub(crate) kind: Kind,
    pub(crate) method: Option<&'a str>,
    pub(crate) thread: Option<&'a str>,
    pub(crate) turn: Option<&'a str>,
    pub(crate) item: Option<&'a str>,
    pub(crate) item_type: Option<&'a str>,
}

impl<'a> Route<'a> {
    pub(crate) fn of(kind: Kind, parts: &Parts<'a>) -> Self {
        Self {
            kind,
            method: parts.method(),
            thread: parts.thread(),
            turn: parts.turn(),
            item: parts.item(),
            item_type: parts.item_type(),
        }
    }
}

pub(crate) type Matcher = Arc<dyn Fn(&Route<'_>) -> bool + Send + Sync>;

/// The answer to a request: the line and where the result stands in it, or the server's error.
pub(crate) struct RawReply {
    pub(crate) line: Box<str>,
    pub(crate) result: Range<usize>,
}

impl std::fmt::Debug for RawReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the text: it may hold a token.
        f.debug_struct("RawReply").finish_non_exhaustive()
    }
}

impl RawReply {
    pub(crate) fn result(&self) -> &str {
        // A response without a result has an error, and that is told apart before.
        self.line
            .get(self.result.clone())
            .filter(|r| !r.is_empty())
            .unwrap_or("null")
    }
}

pub(crate) type Outcome = Result<RawReply, RpcError>;
/// Runs in the reader when the answer is routed, before the next line is.
pub(crate) type OnReply = Box<dyn FnOnce(&Outcome) + Send>;

pub(crate) struct Router {
    state: Mutex<State>,
    /// Apart from the subscriptions, so that callers don't wait while a flood is routed.
    pending: Mutex<Table>,
    next_id: AtomicU64,
    pub(super) dialect: Arc<dyn Dialect>,
    /// For what the reader has to say.
    pub(crate) aside: Aside,
}

pub(super) struct State {
    pub(super) seq: u64,
    pub(super) subs: Vec<Sub>,
    next_sub: u64,
    pub(super) routes: Routes,
    closed: Option<Arc<CloseReason>>,
}

pub(super) struct Sub {
    id: u64,
    pub(super) matcher: Matcher,
    queue: Arc<Queue>,
    pub(super) staged: Vec<(Run, bool)>,
}

impl State {
    /// Hands lines to the subscriptions of a plan, who see them when they are flushed.
    pub(super) fn stage(&mut self, plan: Plan, run: Run) {
        let Self { routes, subs, .. } = self;
        let (last, others) = match routes.set(plan).split_last() {
            Some((last, others)) => (*last, others),
            None => return,
        };
        for &at in others {
            subs[at].staged.push((run.clone(), plan.class.vital));
        }
        subs[last].staged.push((run, plan.class.vital));
    }

    /// Lets the readers of the subscriptions see what was staged. They are woken by the caller, without the lock.
    pub(super) fn flush(&mut self) -> Wakers {
        self.subs.iter_mut().filter_map(Sub::flush).collect()
    }
}

impl Sub {
    fn flush(&mut self) -> Option<Waker> {
        if self.staged.is_empty() {
            return None;
        }
        self.queue.push_all(self.staged.drain(..))
    }
}

impl Router {
    pub(crate) fn new(dialect: Arc<dyn Dialect>, aside: Aside) -> Self {
        Self {
            state: Mutex::new(State {
                seq: 0,
                subs: Vec::new(),
                next_sub: 0,
                routes: Routes::default(),
                closed: None,
            }),
            pending: Mutex::default(),
            next_id: AtomicU64::new(1),
            dialect,
            aside,
        }
    }

    /// Makes room for the answer to a request that has this place in the window.
    pub(super) fn expect<'a>(
        self: &Arc<Self>,
        method: &'a str,
        on_reply: Option<OnReply>,
        place: Option<Place>,
    ) -> Result<Slot<'a>, Arc<CloseReason>> {
        let id = self.next_id();
        let (tx, rx) = oneshot::channel();
        let request = Pending {
            tx,
            on_reply,
            place,
            late: None,
        };
        let mut pending = self.pending();
        if let Some(reason) = pending.closed.clone() {
            drop(pending);
            drop(request); // With its hook, so not under the lock.
            return Err(reason);
        }
        let alone = pending.is_empty();
        pending.insert(id, request);
        drop(pending);
        Ok(Slot::new(id, alone, method, rx, self))
    }

    /// Makes room for an answer that only a hook is interested in. `None` if the connection has ended.
    pub(super) fn expect_hooked(&self, on_reply: OnReply, place: Place) -> Option<u64> {
        let id = self.next_id();
        let (tx, _) = oneshot::channel();
        let request = Pending {
            tx,
            on_reply: Some(on_reply),
            place: Some(place),
            late: None,
        };
        let mut pending = self.pending();
        if pending.closed.is_some() {
            drop(pending);
            drop(request); // With its hook, so not under the lock.
            return None;
        }
        pending.insert(id, request);
        Some(id)
    }

    /// The request that an answer is for.
    pub(super) fn take_pending(&self, id: u64) -> Option<Pending> {
        let (pending, freed) = self.pending().answer(id);
        drop(freed);
        pending
    }

    /// Takes back the places that were given up and whose time is up. Returns after what time there may be more.
    pub(super) fn reclaim(&self) -> Duration {
        let now = Instant::now();
        let mut pending = self.pending();
        let freed: Gone = pending.reclaim(now);
        let idle = pending.idle_for(now);
        drop(pending);
        drop(freed);
        idle
    }

    /// Adds a subscription. On a connection that has ended it is closed from the start.
    pub(crate) fn subscribe(self: &Arc<Self>, matcher: Matcher, bounds: Bounds) -> Subscription {
        let queue = Arc::new(Queue::new(bounds));
        let mut state = self.lock();
        let id = state.next_sub;
        state.next_sub += 1;
        if let Some(reason) = &state.closed {
            queue.close(reason);
        } else {
            state.subs.push(Sub {
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

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a request has had this id.
    pub(super) fn has_used(&self, id: u64) -> bool {
        (1..self.next_id.load(Ordering::Relaxed)).contains(&id)
    }

    /// How many requests wait for an answer.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.pending().len()
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn closed(&self) -> Option<Arc<CloseReason>> {
        self.lock().closed.clone()
    }

    /// The same for who knows that it has.
    pub(super) fn close_reason(&self) -> Arc<CloseReason> {
        self.closed()
            .unwrap_or_else(|| Arc::new(CloseReason::shutdown()))
    }

    /// Ends everything that waits, once.
    pub(crate) fn close(&self, reason: &Arc<CloseReason>) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(reason.clone());
        let subs = std::mem::take(&mut state.subs);
        state.routes.forget();
        drop(state);
        let requests = {
            let mut pending = self.pending();
            pending.closed = Some(reason.clone());
            pending.take_all()
        };
        self.dialect.closed(reason);
        for mut sub in subs {
            let reader = sub.flush();
            sub.queue.close(reason);
            if let Some(reader) = reader {
                reader.wake();
            }
        }
        for request in requests.into_values() {
            let _ = request.tx.send(Err(NoAnswer::Closed(reason.clone())));
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Table> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A live subscription; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Subscription {
    id: u64,
    pub(crate) queue: Arc<Queue>,
    router: Arc<Router>,
}

impl Subscription {
    /// Another subscription to the same, with the same still to be read.
    pub(crate) fn fork(&self) -> Self {
        let mut state = self.router.lock();
        let queue = Arc::new(self.queue.copy());
        let id = state.next_sub;
        state.next_sub += 1;
        let twin = state.subs.iter().find(|s| s.id == self.id).map(|s| Sub {
            id,
            matcher: s.matcher.clone(),
            queue: queue.clone(),
            staged: s.staged.clone(),
        });
        state.subs.extend(twin); // Without one the connection has ended, and the queue says so.
        state.routes.forget();
        drop(state);
        Self {
            id,
            queue,
            router: self.router.clone(),
        }
    }

    /// A handle that changes what the subscription is about, for a hook that learns it from an answer.
    pub(crate) fn binder(&self) -> Binder {
        self.queue.tally();
        Binder {
            id: self.id,
            queue: self.queue.clone(),
            router: Arc::downgrade(&self.router),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.router.lock();
        let gone = state
            .subs
            .iter()
            .position(|s| s.id == self.id)
            .map(|at| state.subs.remove(at));
        state.routes.forget();
        drop(state);
        drop(gone); // With all its messages, so not under the lock.
    }
}

/// See [`Subscription::binder`].
pub(crate) struct Binder {
    id: u64,
    queue: Arc<Queue>,
    router: std::sync::Weak<Router>,
}

impl Binder {
    /// From now on only what `matcher` says, and of what is queued only that too.
    pub(crate) fn bind(&self, matcher: &Matcher) {
        let Some(router) = self.router.upgrade() else {
            return;
        };
        let mut state = router.lock();
        let mut reader = None;
        if let Some(sub) = state.subs.iter_mut().find(|s| s.id == self.id) {
            sub.matcher = matcher.clone();
            reader = sub.flush();
        }
        state.routes.forget();
        drop(state);
        self.queue.retain(
            |m| matcher(&Route::of(m.kind(), &m.parts())),
            |(thread, turn)| {
                matcher(&Route {
                    kind: Kind::Notification,
                    method: None,
                    thread,
                    turn,
                    item: None,
                    item_type: None,
                })
            },
        );
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl std::fmt::Debug for Router {
    #[inline]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

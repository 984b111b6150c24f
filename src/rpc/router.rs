//! Routing: a line to the request that waits for it, to the subscriptions that match it, or to the dialect.
//!
//! Everything here runs in the reader task and waits for nobody. The one lock guards the pending requests and the
//! subscriptions; it is let go before foreign code runs.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

use super::{
    connection::NoAnswer,
    message::{Incoming, Kind, Parts},
    queue::{Bounds, Queue},
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) line: Box<str>,
    pub(crate) result: Range<usize>,
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
    pub(super) state: Mutex<State>,
    next_id: AtomicU64,
    pub(super) dialect: Arc<dyn Dialect>,
}

pub(super) struct State {
    pub(super) seq: u64,
    pub(super) pending: HashMap<u64, Pending>,
    /// Those whose caller has gone but whose hook has not, the oldest first; some may have been answered since.
    forgotten: VecDeque<u64>,
    pub(super) subs: Vec<Sub>,
    next_sub: u64,
    pub(super) last: LastRoute,
    closed: Option<Arc<CloseReason>>,
}

pub(super) struct Pending {
    pub(super) tx: oneshot::Sender<Result<Outcome, NoAnswer>>,
    pub(super) on_reply: Option<OnReply>,
}

pub(super) struct Sub {
    id: u64,
    pub(super) matcher: Matcher,
    pub(super) queue: Arc<Queue>,
    pub(super) staged: Vec<(Incoming, bool)>,
}

/// The route of the previous event and who got it: in a flood most events look alike to every filter.
#[derive(Default)]
pub(super) struct LastRoute {
    pub(super) valid: bool,
    kind: Option<Kind>,
    keys: [Option<String>; 5],
    pub(super) class: Class,
    pub(super) to: Vec<usize>,
}

impl LastRoute {
    pub(super) fn is(&self, route: &Route<'_>) -> bool {
        let Route {
            kind,
            method,
            thread,
            turn,
            item,
            item_type,
        } = *route;
        let now = [item, method, turn, thread, item_type];
        self.valid
            && self.kind == Some(kind)
            && self.keys.iter().zip(now).all(|(a, b)| a.as_deref() == b)
    }

    pub(super) fn remember(&mut self, route: &Route<'_>) {
        let Route {
            kind,
            method,
            thread,
            turn,
            item,
            item_type,
        } = *route;
        for (slot, now) in self
            .keys
            .iter_mut()
            .zip([item, method, turn, thread, item_type])
        {
            match (slot.as_mut(), now) {
                (Some(s), Some(n)) => n.clone_into(s),
                _ => *slot = now.map(str::to_owned),
            }
        }
        self.kind = Some(kind);
        self.valid = true;
        self.to.clear();
    }
}

impl Router {
    pub(crate) fn new(dialect: Arc<dyn Dialect>) -> Self {
        Self {
            state: Mutex::new(State {
                seq: 0,
                pending: HashMap::new(),
                forgotten: VecDeque::new(),
                subs: Vec::new(),
                next_sub: 0,
                last: LastRoute::default(),
                closed: None,
            }),
            next_id: AtomicU64::new(1),
            dialect,
        }
    }

    /// Makes room for an answer. The guard takes the room away again when it is dropped, unless there is a hook: what
    /// that keeps account of happens whether anybody waits for the answer or not.
    pub(crate) fn expect(
        self: &Arc<Self>,
        on_reply: Option<OnReply>,
    ) -> Result<Slot, Arc<CloseReason>> {
        let id = self.next_id();
        let (tx, rx) = oneshot::channel();
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        let keep = on_reply.is_some();
        state.pending.insert(id, Pending { tx, on_reply });
        drop(state);
        Ok(Slot {
            id,
            rx,
            keep,
            router: self.clone(),
        })
    }

    /// Makes room for an answer that only a hook is interested in. `None` if the connection has ended.
    pub(crate) fn expect_hooked(&self, on_reply: OnReply) -> Option<u64> {
        let id = self.next_id();
        let (tx, _) = oneshot::channel();
        let mut state = self.lock();
        if state.closed.is_some() {
            drop(state);
            return None; // And the hook is dropped without the lock.
        }
        let on_reply = Some(on_reply);
        state.pending.insert(id, Pending { tx, on_reply });
        Some(id)
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
            state.last.valid = false;
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
    pub(crate) fn pending(&self) -> usize {
        self.lock().pending.len()
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn closed(&self) -> Option<Arc<CloseReason>> {
        self.lock().closed.clone()
    }

    /// Ends everything that waits, once.
    pub(crate) fn close(&self, reason: &Arc<CloseReason>) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(reason.clone());
        let pending = std::mem::take(&mut state.pending);
        let subs = std::mem::take(&mut state.subs);
        drop(state);
        self.dialect.closed(reason);
        for sub in subs {
            sub.queue.close(reason);
        }
        for request in pending.into_values() {
            let _ = request.tx.send(Err(NoAnswer::Closed(reason.clone())));
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room for one answer.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: u64,
    rx: oneshot::Receiver<Result<Outcome, NoAnswer>>,
    keep: bool,
    router: Arc<Router>,
}

impl Slot {
    /// Waits for the answer or the end of the connection. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Result<Outcome, NoAnswer> {
        match (&mut self.rx).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Closed(
                self.router
                    .closed()
                    .unwrap_or_else(|| Arc::new(CloseReason::shutdown())),
            )),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.router.lock();
        if !self.keep {
            state.pending.remove(&self.id);
        } else if state.pending.contains_key(&self.id) {
            state.forgotten.push_back(self.id);
            if state.forgotten.len() > FORGOTTEN {
                let oldest = state.forgotten.pop_front();
                let gone = oldest.and_then(|id| state.pending.remove(&id));
                drop(state);
                drop(gone); // With its hook, so not under the lock.
            }
        }
    }
}

/// How many answers may be waited for by a hook alone: the server never gives some.
const FORGOTTEN: usize = 1_024;

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
        state.last.valid = false;
        drop(state);
        Self {
            id,
            queue,
            router: self.router.clone(),
        }
    }

    /// A handle that changes what the subscription is about, for a hook that learns it from an answer.
    pub(crate) fn binder(&self) -> Binder {
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
        state.last.valid = false;
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
        if let Some(sub) = state.subs.iter_mut().find(|s| s.id == self.id) {
            sub.matcher = matcher.clone();
            let staged = std::mem::take(&mut sub.staged);
            sub.queue.push_all(staged);
        }
        state.last.valid = false;
        drop(state);
        self.queue
            .retain(|m| matcher(&Route::of(m.kind(), &m.parts())));
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

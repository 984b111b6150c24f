//! Routing: a line to the request that waits for it, to the subscriptions that match it, or to the dialect.
//!
//! Everything here runs in the reader task and waits for nobody. The one lock guards the pending requests and the
//! subscriptions; it is let go before foreign code runs.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::oneshot;

use super::{
    message::{Envelope, Incoming, Kind, Parts, scan},
    queue::{Bounds, Queue},
};
use crate::error::{CloseReason, RpcError, rpc_error};

/// What the protocol on top has to say about messages. Called in the reader task, in order; must not block.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// How a notification is treated.
    fn class(&self, method: &str) -> Class;
    /// A notification of a class that is observed, before any subscription sees it.
    fn observe(&self, message: &Incoming);
    /// A request from the server.
    fn request(&self, message: &Incoming);
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
    state: Mutex<State>,
    next_id: AtomicU64,
    dialect: Arc<dyn Dialect>,
}

struct State {
    seq: u64,
    pending: HashMap<u64, Pending>,
    subs: Vec<Sub>,
    next_sub: u64,
    last: LastRoute,
    closed: Option<Arc<CloseReason>>,
}

struct Pending {
    tx: oneshot::Sender<Result<Outcome, Arc<CloseReason>>>,
    on_reply: Option<OnReply>,
}

struct Sub {
    id: u64,
    matcher: Matcher,
    queue: Arc<Queue>,
    staged: Vec<(Incoming, bool)>,
}

/// The route of the previous event and who got it: in a flood most events look alike to every filter.
#[derive(Default)]
struct LastRoute {
    valid: bool,
    kind: Option<Kind>,
    keys: [Option<String>; 5],
    class: Class,
    to: Vec<usize>,
}

impl LastRoute {
    fn is(&self, route: &Route<'_>) -> bool {
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

    fn remember(&mut self, route: &Route<'_>) {
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
            let _ = request.tx.send(Err(reason.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Routes the lines of one read: one lock and, for each subscription, one wake-up.
pub(crate) struct Batch<'r> {
    router: &'r Router,
    state: Option<MutexGuard<'r, State>>,
    now: Instant,
}

impl<'r> Batch<'r> {
    pub(crate) fn new(router: &'r Router) -> Self {
        Self {
            router,
            state: None,
            now: Instant::now(),
        }
    }

    pub(crate) fn line(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(line) => {
                let (kind, env) = scan(line);
                match kind {
                    Kind::Response => self.response(line, env),
                    _ => self.event(line, kind, env),
                }
            }
            Err(_) => self.event(
                &String::from_utf8_lossy(bytes),
                Kind::Malformed,
                Envelope::default(),
            ),
        }
    }

    /// A line that was too long to keep.
    pub(crate) fn too_long(&mut self, len: u64, head: &[u8]) {
        tracing::warn!(
            len,
            "a line from the server was over the limit and was skipped"
        );
        self.event(
            &String::from_utf8_lossy(head),
            Kind::Malformed,
            Envelope::default(),
        );
    }

    fn event(&mut self, line: &str, kind: Kind, env: Envelope) {
        let now = self.now;
        let parts = Parts::new(line, env);
        let route = Route::of(kind, &parts);
        let dialect = &self.router.dialect;
        let state = self.state.get_or_insert_with(|| self.router.lock());
        state.seq += 1;
        let seq = state.seq;
        if !state.last.is(&route) {
            let State { last, subs, .. } = &mut **state;
            last.remember(&route);
            last.class = match kind {
                Kind::Notification => dialect.class(route.method.unwrap_or_default()),
                Kind::Request => Class {
                    vital: true,
                    observed: true,
                },
                _ => Class::default(),
            };
            last.to.extend(
                subs.iter()
                    .enumerate()
                    .filter(|(_, s)| (s.matcher)(&route))
                    .map(|(i, _)| i),
            );
        }
        let class = state.last.class;
        if state.last.to.is_empty() && !class.observed {
            return;
        }
        let message = Incoming::new(seq, now, line.into(), kind, env);
        if class.observed {
            self.state = None; // The dialect may call back.
            if kind == Kind::Request {
                dialect.request(&message);
            } else {
                dialect.observe(&message);
            }
        }
        let state = self.state.get_or_insert_with(|| self.router.lock());
        // NB. The list may have changed while the lock was let go; then `last` is invalid and is made anew.
        let State { last, subs, .. } = &mut **state;
        if last.valid {
            for &i in &last.to {
                subs[i].staged.push((message.clone(), class.vital));
            }
        } else {
            let route = Route::of(kind, &parts);
            for sub in subs.iter_mut().filter(|s| (s.matcher)(&route)) {
                sub.staged.push((message.clone(), class.vital));
            }
        }
    }

    fn response(&mut self, line: &str, env: Envelope) {
        // NB. What was said before the answer is in the queues before the caller wakes.
        self.flush();
        let state = self.state.get_or_insert_with(|| self.router.lock());
        state.seq += 1;
        let parts = Parts::new(line, env);
        let id = parts.id().and_then(|id| id.parse::<u64>().ok());
        let Some(Pending { tx, on_reply }) = id.and_then(|id| state.pending.remove(&id)) else {
            tracing::debug!("an answer came that nobody waits for");
            return;
        };
        let outcome = match parts.error().filter(|e| *e != "null") {
            Some(error) => Err(rpc_error(error)),
            None => Ok(RawReply {
                line: line.into(),
                result: parts.result_range(),
            }),
        };
        if let Some(hook) = on_reply {
            self.state = None;
            hook(&outcome);
        }
        let _ = tx.send(Ok(outcome));
    }

    fn flush(&mut self) {
        if let Some(state) = &mut self.state {
            for sub in state.subs.iter_mut().filter(|s| !s.staged.is_empty()) {
                sub.queue.push_all(sub.staged.drain(..));
            }
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Staged messages outlive a lock that was let go in between, so look again.
        self.state.get_or_insert_with(|| self.router.lock());
        self.flush();
    }
}

/// The room for one answer.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: u64,
    rx: oneshot::Receiver<Result<Outcome, Arc<CloseReason>>>,
    keep: bool,
    router: Arc<Router>,
}

impl Slot {
    /// Waits for the answer or the end of the connection. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Result<Outcome, Arc<CloseReason>> {
        match (&mut self.rx).await {
            Ok(answer) => answer,
            Err(_) => Err(self
                .router
                .closed()
                .unwrap_or_else(|| Arc::new(CloseReason::shutdown()))),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.keep {
            self.router.lock().pending.remove(&self.id);
        }
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

//! Who opened a thread, and which thread spawned it: this decides whose handlers answer for the
//! thread.
//!
//! A thread is known if it was opened through this client, or spawned by a known thread.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    State, Tracker,
    owner::{HandlerSet, Owner},
};
use crate::protocol::pointer::at;

/// How many closed threads are remembered.
const MAX_CLOSED: usize = 1024;

/// The handlers that answer for a thread.
pub(crate) enum Answerer {
    /// The thread is known: its own handlers, or those of the client.
    Known(Option<HandlerSet>),
    /// The thread is not known.
    Unknown {
        /// The handlers of the thread whose turn caused this thread's own: the thread that spawned
        /// it or sent it a message.
        linked: Option<HandlerSet>,
        /// All handlers of known threads, each once.
        all: Vec<HandlerSet>,
    },
}

impl Tracker {
    /// Records that a thread was opened with these handlers, or with those of the client. `started`
    /// says that the thread is new, and not another client's that is resumed.
    pub(crate) fn opened(&self, thread: &str, handlers: Option<HandlerSet>, started: bool) {
        let before = self.lock().set_owner(thread, handlers, started);
        self.drop_handlers(before);
    }

    /// A known thread's own handlers, if it has any.
    pub(crate) fn handlers_of(&self, thread: &str) -> Option<HandlerSet> {
        self.lock().owner(thread)?.handlers.clone()
    }

    /// The handlers that answer for a thread.
    pub(crate) fn answerer(&self, thread: Option<&str>) -> Answerer {
        let state = self.lock();
        if let Some(owner) = thread.and_then(|id| state.owner(id)) {
            return Answerer::Known(owner.handlers.clone());
        }
        let mut all: Vec<HandlerSet> = Vec::new();
        for handlers in state.handler_sets() {
            if !all.iter().any(|known| Arc::ptr_eq(known, handlers)) {
                all.push(handlers.clone());
            }
        }
        let linked = thread.and_then(|id| state.links.get(id));
        let linked = linked.and_then(|id| state.owner(id)?.handlers.clone());
        Answerer::Unknown { linked, all }
    }

    /// Whether a thread, or the thread that spawned it, was started through this client.
    pub(crate) fn is_started_here(&self, thread: Option<&str>) -> bool {
        let state = self.lock();
        thread.is_some_and(|id| state.owner(id).is_some_and(|owner| owner.started))
    }

    /// `thread/started`: names the parent of a spawned thread.
    pub(super) fn thread_started(&self, params: &str) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Child {
            id: String,
            parent_thread_id: Option<String>,
        }
        if let Ok(thread) = at::<Child>(params, &["thread"])
            && let Some(parent) = thread.parent_thread_id
        {
            self.lock().inherit(&parent, &thread.id);
        }
    }

    /// `thread/closed`: from now on the thread has no owner.
    pub(super) fn disown(&self, thread: &str) {
        let owner = self.lock().disown(thread);
        self.drop_handlers(owner);
    }

    /// Drops handlers, which are user code, neither in the reader nor under the lock.
    pub(crate) fn drop_handlers<T: Send + 'static>(&self, handlers: Option<T>) {
        if let Some(handlers) = handlers {
            self.aside.let_go(handlers);
        }
    }
}

impl State {
    /// Returns what the caller has to drop.
    fn set_owner(
        &mut self,
        thread: &str,
        handlers: Option<HandlerSet>,
        started: bool,
    ) -> Option<Owner> {
        self.links.remove(thread);
        let started = started || self.owner(thread).is_some_and(|before| before.started);
        let owner = Owner {
            handlers,
            opened: true,
            started,
        };
        if self.closed {
            return Some(owner);
        }
        self.thread(thread).owner.replace(owner)
    }

    fn disown(&mut self, thread: &str) -> Option<Owner> {
        self.links.remove(thread);
        let owner = self.threads.get_mut(thread)?.owner.take();
        if owner.as_ref().is_some_and(|owner| owner.opened) {
            self.closed_threads.truncate(MAX_CLOSED - 1);
            self.closed_threads.push_front(thread.to_owned());
        }
        owner
    }

    fn owner(&self, thread: &str) -> Option<&Owner> {
        self.threads.get(thread)?.owner.as_ref()
    }

    fn handler_sets(&self) -> impl Iterator<Item = &HandlerSet> {
        let owners = self.threads.values().filter_map(|of| of.owner.as_ref());
        owners.filter_map(|owner| owner.handlers.as_ref())
    }

    /// Records that a turn of another thread has caused a turn of this one: the other thread has
    /// spawned this one, or is any thread that has sent it a message. So no policy depends on it.
    pub(super) fn link(&mut self, thread: &str, cause: &str) {
        let has_handlers = |owner: &Owner| owner.handlers.is_some();
        if self.owner(thread).is_none() && self.owner(cause).is_some_and(has_handlers) {
            self.links.insert(thread.to_owned(), cause.to_owned());
        }
    }

    /// Gives a spawned thread the handlers of its parent: what the parent may not do, the child may
    /// not either. A thread that is already known is nobody's child.
    pub(super) fn inherit(&mut self, parent: &str, child: &str) {
        let Some(parent) = self.owner(parent) else {
            return;
        };
        if self.owner(child).is_some() || self.closed_threads.iter().any(|closed| closed == child) {
            return;
        }
        let owner = Owner {
            handlers: parent.handlers.clone(),
            opened: false,
            started: parent.started,
        };
        self.links.remove(child);
        self.thread(child).owner = Some(owner);
    }
}

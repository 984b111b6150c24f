//! What is known of the threads: which have handlers of their own, and which changes of files wait for approval.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    handler::Handlers,
    read::{at, readable},
    rpc::{
        Aside, Incoming,
        router::{OnReply, Outcome},
    },
};

/// How many changes are kept until they are approved. More than that wait nowhere.
const MOST_CHANGES: usize = 1024;

/// How many turns are remembered by which a sub-agent's thread can be told. It starts soon after, or is linked by the call
/// that spawned it.
const MOST_ROOTS: usize = 1024;

pub(crate) struct Threads {
    base: Arc<Handlers>,
    state: Mutex<State>,
    /// Handlers are foreign code: they are dropped neither in the reader nor under the lock.
    aside: Aside,
}

#[derive(Default)]
struct State {
    /// The handlers of the threads that have others than the client, until `thread/closed`.
    own: HashMap<String, Arc<Handlers>>,
    /// The last turns of those threads, and the thread of each.
    roots: VecDeque<(String, String)>,
    /// `item/started` of changes of files, by thread and item: the request for approval does not repeat them.
    changes: HashMap<(String, String), Incoming>,
}

impl Threads {
    pub(super) fn new(base: Handlers, aside: Aside) -> Arc<Self> {
        Arc::new(Self {
            base: Arc::new(base),
            state: Mutex::default(),
            aside,
        })
    }

    pub(crate) fn base(&self) -> &Arc<Handlers> {
        &self.base
    }

    pub(super) fn handlers(&self, thread: Option<&str>) -> Arc<Handlers> {
        let own = thread.and_then(|id| self.lock().own.get(id).cloned());
        own.unwrap_or_else(|| self.base.clone())
    }

    /// What runs when a thread has been opened, before anything else of it is routed: from then on it has these
    /// handlers, or those of the client.
    pub(crate) fn opening(self: &Arc<Self>, handlers: Option<Arc<Handlers>>) -> OnReply {
        let threads = self.clone();
        Box::new(move |outcome: &Outcome| {
            let thread = outcome
                .as_ref()
                .ok()
                .and_then(|reply| at::<String>(reply.result(), &["thread", "id"]).ok());
            let Some(thread) = thread else {
                threads.let_go(handlers);
                return;
            };
            let mut state = threads.lock();
            let before = match handlers {
                Some(handlers) => state.own.insert(thread, handlers),
                None => state.own.remove(&thread),
            };
            drop(state);
            threads.let_go(before);
        })
    }

    /// `thread/started`: names the thread that spawned it, where one did.
    pub(super) fn started(&self, message: &Incoming) {
        readable! {
            struct Child {
                needed { id: String = "id", }
                maybe { parent_thread_id: Option<String> = "parentThreadId", }
            }
        }
        if let Some(thread) = self.read::<Child>(message, &["thread"])
            && let Some(parent) = thread.parent_thread_id
        {
            self.lock().inherit(&parent, thread.id);
        }
    }

    /// `turn/started`: names the turn that the work began with. It comes before anything that a sub-agent asks, and is
    /// the only link that surely does; codex 0.169.0 tells no `thread/started` of a sub-agent.
    pub(super) fn turn_started(&self, message: &Incoming) {
        readable! {
            struct Turn {
                needed { id: String = "id", }
                maybe { root_turn_id: Option<String> = "rootTurnId", }
            }
        }
        let Some(turn) = self.read::<Turn>(message, &["turn"]) else {
            return;
        };
        let Some(thread) = message.parts().thread() else {
            return;
        };
        let mut state = self.lock();
        if state.own.contains_key(thread) {
            state.roots.truncate(MOST_ROOTS - 1);
            state.roots.push_front((turn.id, thread.to_owned()));
        } else if let Some(root) = turn.root_turn_id
            && let Some((_, parent)) = state.roots.iter().find(|(id, _)| *id == root)
        {
            let parent = parent.clone();
            state.inherit(&parent, thread.to_owned());
        }
    }

    /// A call of the agent by which it spawns others, or speaks with them.
    pub(super) fn agents_called(&self, message: &Incoming) {
        if message.parts().item_type() != Some("collabAgentToolCall") {
            return;
        }
        if let Some(called) = self.read::<Vec<String>>(message, &["item", "receiverThreadIds"])
            && let Some(parent) = message.parts().thread()
        {
            let mut state = self.lock();
            for child in called {
                state.inherit(parent, child);
            }
        }
    }

    /// What stands at a path in the params, if there are handlers that could be inherited.
    fn read<'m, T: Deserialize<'m>>(
        &self,
        message: &'m Incoming,
        path: &'static [&'static str],
    ) -> Option<T> {
        if self.lock().own.is_empty() {
            return None;
        }
        at(message.parts().params()?, path).ok()
    }

    pub(super) fn item_started(&self, message: &Incoming) {
        let parts = message.parts();
        let (Some("fileChange"), Some(thread), Some(item)) =
            (parts.item_type(), parts.thread(), parts.item())
        else {
            return;
        };
        let mut state = self.lock();
        if state.changes.len() < MOST_CHANGES {
            let key = (thread.to_owned(), item.to_owned());
            state.changes.insert(key, message.clone());
        }
    }

    pub(super) fn item_completed(&self, thread: &str, item: &str) {
        self.forget(|t, i| t == thread && i == item);
    }

    pub(super) fn turn_completed(&self, thread: &str) {
        self.forget(|t, _| t == thread);
    }

    pub(super) fn closed(&self, thread: &str) {
        self.turn_completed(thread);
        let mut state = self.lock();
        state.roots.retain(|(_, of)| of != thread);
        let own = state.own.remove(thread);
        drop(state);
        self.let_go(own);
    }

    pub(super) fn all_closed(&self) {
        let state = std::mem::take(&mut *self.lock());
        self.aside.let_go(state);
    }

    fn let_go(&self, handlers: Option<Arc<Handlers>>) {
        if let Some(handlers) = handlers {
            self.aside.let_go(handlers);
        }
    }

    /// The changes of an item that waits for approval.
    pub(super) fn changes(&self, thread: Option<&str>, item: Option<&str>) -> Option<Value> {
        let key = (thread?.to_owned(), item?.to_owned());
        let message = self.lock().changes.get(&key).cloned()?;
        at(message.parts().params()?, &["item", "changes"]).ok()
    }

    fn forget(&self, gone: impl Fn(&str, &str) -> bool) {
        let mut state = self.lock();
        if !state.changes.is_empty() {
            state
                .changes
                .retain(|(thread, item), _| !gone(thread, item));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A thread that another one has spawned has its handlers: what the parent may not do, the child may not either.
    fn inherit(&mut self, parent: &str, child: String) {
        if let Some(handlers) = self.own.get(parent).cloned() {
            self.own.entry(child).or_insert(handlers);
        }
    }
}

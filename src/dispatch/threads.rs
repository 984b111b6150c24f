//! What is known of the threads: which have handlers of their own, and which changes of files wait for approval.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    handler::Handlers,
    rpc::{
        Incoming,
        router::{OnReply, Outcome},
    },
};

/// How many changes are kept until they are approved. More than that wait nowhere.
const MOST_CHANGES: usize = 1024;

pub(crate) struct Threads {
    base: Arc<Handlers>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The handlers of the threads that have others than the client, until `thread/closed`.
    own: HashMap<String, Arc<Handlers>>,
    /// `item/started` of changes of files, by thread and item: the request for approval does not repeat them.
    changes: HashMap<(String, String), Incoming>,
}

impl Threads {
    pub(super) fn new(base: Handlers) -> Arc<Self> {
        Arc::new(Self {
            base: Arc::new(base),
            state: Mutex::default(),
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
        #[derive(Deserialize)]
        struct Opened {
            thread: Id,
        }
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let threads = self.clone();
        Box::new(move |outcome: &Outcome| {
            let Ok(reply) = outcome else { return };
            let Ok(opened) = serde_json::from_str::<Opened>(reply.result()) else {
                return;
            };
            let mut state = threads.lock();
            match handlers {
                Some(handlers) => state.own.insert(opened.thread.id, handlers),
                None => state.own.remove(&opened.thread.id),
            };
        })
    }

    /// A thread that another one has spawned has its handlers: what the parent may not do, the child may not either.
    pub(super) fn started(&self, message: &Incoming) {
        #[derive(Deserialize)]
        struct Started {
            thread: Child,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Child {
            id: String,
            parent_thread_id: Option<String>,
        }
        if self.lock().own.is_empty() {
            return;
        }
        let params = message.parts().params().unwrap_or_default();
        let Ok(Started {
            thread:
                Child {
                    id,
                    parent_thread_id: Some(parent),
                },
        }) = serde_json::from_str(params)
        else {
            return;
        };
        let mut state = self.lock();
        if let Some(handlers) = state.own.get(&parent).cloned() {
            state.own.entry(id).or_insert(handlers);
        }
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
        self.lock().own.remove(thread);
    }

    pub(super) fn all_closed(&self) {
        let state = std::mem::take(&mut *self.lock());
        drop(state); // Handlers are foreign code, so not under the lock.
    }

    /// The changes of an item that waits for approval.
    pub(super) fn changes(&self, thread: Option<&str>, item: Option<&str>) -> Option<Value> {
        #[derive(Deserialize)]
        struct Started {
            item: Item,
        }
        #[derive(Deserialize)]
        struct Item {
            changes: Value,
        }
        let key = (thread?.to_owned(), item?.to_owned());
        let message = self.lock().changes.get(&key).cloned()?;
        let started: Started = serde_json::from_str(message.parts().params()?).ok()?;
        Some(started.item.changes)
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

//! Whose handlers answer for which thread.
//!
//! A thread is known if it was opened through this client or was spawned by one that is known. For any other thread the
//! strictest of all policies counts, so that no agent gets a laxer one by being unknown.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;

use crate::{
    handlers::{Handlers, policy::Policy},
    protocol::{
        pointer::{at, readable},
        routing::RoutingKeys as _,
    },
    rpc::{
        Aside, Incoming,
        reply::{OnReply, Outcome},
    },
};

/// How many different policies of threads that are gone are remembered. Beyond that, what is unknown is declined.
const MOST_GONE: usize = 64;

/// How many closed threads are remembered.
const MOST_CLOSED: usize = 1024;

pub(crate) struct Threads {
    base: Arc<Handlers>,
    state: Mutex<State>,
    /// Handlers are foreign code: they are dropped neither in the reader nor under the lock.
    aside: Aside,
}

#[derive(Default)]
struct State {
    /// Until `thread/closed`.
    known: HashMap<String, Known>,
    /// The running turns of threads with handlers of their own, and the thread of each.
    roots: HashMap<String, String>,
    /// Threads that are not known, and the thread whose turn theirs began with: that has spawned them, or spoken to them.
    links: HashMap<String, String>,
    /// The last threads that were opened through this client and are closed: they are nobody's children.
    closed: VecDeque<String>,
    /// The policies of threads that are gone: what they have spawned may live on.
    gone: Vec<Policy>,
}

struct Known {
    /// The handlers it has, if not those of the client.
    handlers: Option<Arc<Handlers>>,
    /// It was opened through this client, and not spawned.
    opened: bool,
    /// It was started or forked through this client, or spawned by such a thread.
    started: bool,
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

    /// The handlers of a thread; where it is not known, with the strictest of all policies.
    pub(super) fn handlers(&self, thread: Option<&str>) -> Arc<Handlers> {
        let state = self.lock();
        if let Some(known) = thread.and_then(|id| state.known.get(id)) {
            return known.handlers.as_ref().unwrap_or(&self.base).clone();
        }
        let mut own: Vec<&Arc<Handlers>> = Vec::new();
        for handlers in state.known.values().filter_map(|k| k.handlers.as_ref()) {
            if !own.iter().any(|known| Arc::ptr_eq(known, handlers)) {
                own.push(handlers);
            }
        }
        if own.is_empty() && state.gone.is_empty() {
            return self.base.clone();
        }
        let linked = thread.and_then(|id| state.links.get(id));
        let linked = linked.and_then(|id| state.known.get(id)?.handlers.as_ref());
        let all = own.iter().copied().chain([&self.base]);
        let answering = linked.unwrap_or(&self.base);
        Arc::new(answering.for_unknown(all.map(Arc::as_ref), &state.gone))
    }

    /// What runs when a thread has been opened, before anything else of it is routed: from then on it has these
    /// handlers, or those of the client.
    ///
    /// `started` says that the thread is new, and not another's that is resumed.
    pub(crate) fn opening(
        self: &Arc<Self>,
        handlers: Option<Arc<Handlers>>,
        started: bool,
    ) -> OnReply {
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
            state.links.remove(&thread);
            let before = state.known.get(&thread);
            let known = Known {
                handlers,
                opened: true,
                started: started || before.is_some_and(|before| before.started),
            };
            let before = state.known.insert(thread, known);
            if let Some(before) = &before {
                threads.remember(&mut state, before);
            }
            drop(state);
            threads.let_go(before);
        })
    }

    /// Whether a thread, or the one that spawned it, was started through this client.
    pub(super) fn is_started_here(&self, thread: Option<&str>) -> bool {
        let state = self.lock();
        let known = thread.and_then(|id| state.known.get(id));
        known.is_some_and(|known| known.started)
    }

    /// `thread/started`: names the thread that spawned it, where one did.
    pub(super) fn started(&self, message: &Incoming) {
        readable! {
            struct Child {
                needed { id: String = "id", }
                maybe { parent_thread_id: Option<String> = "parentThreadId", }
            }
        }
        if let Some(thread) = read::<Child>(message, &["thread"])
            && let Some(parent) = thread.parent_thread_id
        {
            self.lock().inherit(&parent, thread.id);
        }
    }

    /// `turn/started`: names the turn that the work began with. That may be of the thread that spawned this one, or of
    /// another that has spoken to it, so the policy does not depend on it.
    pub(super) fn turn_started(&self, message: &Incoming) {
        readable! {
            struct Turn {
                needed { id: String = "id", }
                maybe { root_turn_id: Option<String> = "rootTurnId", }
            }
        }
        let Some(thread) = message.parts().thread() else {
            return;
        };
        let mut state = self.lock();
        if !state.known.values().any(|known| known.handlers.is_some()) {
            return;
        }
        let Some(turn) = read::<Turn>(message, &["turn"]) else {
            return;
        };
        match state.known.get(thread) {
            Some(known) if known.handlers.is_some() => {
                state.roots.insert(turn.id, thread.to_owned());
            }
            Some(_) => {}
            None => {
                let root = turn.root_turn_id.and_then(|root| state.roots.get(&root));
                if let Some(parent) = root.cloned() {
                    state.links.insert(thread.to_owned(), parent);
                }
            }
        }
    }

    /// The completed call by which an agent spawned another. Agents also speak with others, which makes nobody theirs.
    pub(super) fn agent_spawned(&self, message: &Incoming) {
        readable! {
            struct Item {
                maybe {
                    tool: String = "tool",
                    status: String = "status",
                    receivers: Vec<String> = "receiverThreadIds",
                    kind: String = "kind",
                    agent: Option<String> = "agentThreadId",
                }
            }
        }
        let parts = message.parts();
        let of_agents = matches!(
            parts.item_type(),
            Some("collabAgentToolCall" | "subAgentActivity")
        );
        let Some(parent) = parts.thread().filter(|_| of_agents) else {
            return;
        };
        let Some(item) = read::<Item>(message, &["item"]) else {
            return;
        };
        let spawned = if parts.item_type() == Some("subAgentActivity") {
            item.agent
                .filter(|_| item.kind == "started")
                .into_iter()
                .collect()
        } else if item.tool == "spawnAgent" && item.status == "completed" {
            item.receivers
        } else {
            Vec::new()
        };
        let mut state = self.lock();
        for child in spawned {
            state.inherit(parent, child);
        }
    }

    pub(super) fn turn_completed(&self, turn: &str) {
        self.lock().roots.remove(turn);
    }

    pub(super) fn closed(&self, thread: &str) {
        let mut state = self.lock();
        state.roots.retain(|_, of| of != thread);
        state.links.remove(thread);
        let known = state.known.remove(thread);
        if let Some(known) = &known {
            self.remember(&mut state, known);
            if known.opened {
                state.closed.truncate(MOST_CLOSED - 1);
                state.closed.push_front(thread.to_owned());
            }
        }
        drop(state);
        self.let_go(known);
    }

    pub(super) fn all_closed(&self) {
        let state = std::mem::take(&mut *self.lock());
        self.aside.let_go(state);
    }

    /// Drops handlers, which are foreign code, where that is harmless.
    fn let_go<T: Send + 'static>(&self, handlers: Option<T>) {
        if let Some(handlers) = handlers {
            self.aside.let_go(handlers);
        }
    }

    /// Keeps the rules of a policy that no longer has a thread, unless another one is the same.
    fn remember(&self, state: &mut State, known: &Known) {
        let Some(handlers) = &known.handlers else {
            return;
        };
        let policy = handlers.approvals.clone().unwrap_or_else(Policy::decline);
        if self
            .base
            .approvals
            .as_ref()
            .is_some_and(|base| base.is_same(&policy))
        {
            return;
        }
        let mut policy = policy.without_handler();
        if state.gone.iter().any(|gone| gone.is_same(&policy)) {
            return;
        }
        if state.gone.len() >= MOST_GONE {
            state.gone.clear();
            policy = Policy::decline();
        }
        state.gone.push(policy);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands at a path in the params.
fn read<'m, T: Deserialize<'m>>(message: &'m Incoming, path: &'static [&'static str]) -> Option<T> {
    at(message.parts().params()?, path).ok()
}

impl State {
    /// A thread that another one has spawned has its handlers: what the parent may not do, the child may not either. What
    /// is known already is nobody's child.
    fn inherit(&mut self, parent: &str, child: String) {
        let Some(parent) = self.known.get(parent) else {
            return;
        };
        if !self.known.contains_key(&child) && !self.closed.contains(&child) {
            let known = Known {
                handlers: parent.handlers.clone(),
                opened: false,
                started: parent.started,
            };
            self.links.remove(&child);
            self.known.insert(child, known);
        }
    }
}

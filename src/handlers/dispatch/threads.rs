//! Whose handlers answer for which thread.
//!
//! A thread is known if it was opened through this client, or spawned by a known thread. For any
//! other thread the strictest of all policies counts, so that no agent gets a laxer policy by being
//! unknown.

use std::sync::Arc;

use crate::{
    client::tracker::{Answerer, HandlerSet, Tracker},
    handlers::{policy::Policy, set::Handlers},
    rpc::{
        Lock,
        reply::{OnReply, Outcome, RawReply},
    },
};

/// How many different policies of closed threads are remembered. Beyond that, requests of unknown
/// threads are declined.
const MAX_GONE: usize = 64;

pub(crate) struct Threads {
    base: Arc<Handlers>,
    tracker: Arc<Tracker>,
    /// The policies of closed threads: threads that they have spawned may live on.
    gone: Lock<Vec<Policy>>,
}

impl Threads {
    pub(super) fn new(base: Handlers, tracker: Arc<Tracker>) -> Arc<Self> {
        Arc::new(Self {
            base: Arc::new(base),
            tracker,
            gone: Lock::default(),
        })
    }

    pub(crate) fn base(&self) -> &Arc<Handlers> {
        &self.base
    }

    /// The handlers of a thread. An unknown thread gets the strictest of all policies.
    pub(super) fn handlers(&self, thread: Option<&str>) -> Arc<Handlers> {
        let (linked, all) = match self.tracker.answerer(thread) {
            Answerer::Known(handlers) => {
                return typed(handlers).unwrap_or_else(|| self.base.clone());
            }
            Answerer::Unknown { linked, all } => (typed(linked), all),
        };
        let gone = self.gone.lock();
        if all.is_empty() && gone.is_empty() {
            return self.base.clone();
        }
        let all: Vec<_> = all.into_iter().filter_map(|set| typed(Some(set))).collect();
        let all = all.iter().chain([&self.base]).map(Arc::as_ref);
        let answering = linked.as_ref().unwrap_or(&self.base);
        Arc::new(answering.for_unknown(all, &gone))
    }

    /// What runs when a thread has been opened, before anything else about it is routed: from then
    /// on this connection follows the thread, and the thread has these handlers, or those of the
    /// client.
    pub(super) fn opening(self: &Arc<Self>, method: &str, handlers: Option<HandlerSet>) -> OnReply {
        let threads = self.clone();
        let (is_new, started) = (method == "thread/start", method != "thread/resume");
        Box::new(move |outcome: &Outcome| {
            let response = outcome.as_ref().ok().map(RawReply::result);
            let thread = response.and_then(|text| threads.tracker.follow(text, is_new));
            match thread {
                Some(thread) => {
                    threads.closing(&thread);
                    threads.tracker.opened(&thread, handlers, started);
                }
                None => threads.tracker.drop_handlers(handlers),
            }
        })
    }

    pub(super) fn is_started_here(&self, thread: Option<&str>) -> bool {
        self.tracker.is_started_here(thread)
    }

    /// Prepares for a thread losing its handlers: keeps the rules of its policy, unless an equal
    /// policy is kept already.
    pub(super) fn closing(&self, thread: &str) {
        let Some(handlers) = typed(self.tracker.handlers_of(thread)) else {
            return;
        };
        let policy = handlers.approvals.clone();
        let policy = policy.unwrap_or_else(Policy::decline);
        let base = self.base.approvals.as_ref();
        if base.is_some_and(|base| base.is_same(&policy)) {
            return;
        }
        let mut policy = policy.without_handler();
        let mut gone = self.gone.lock();
        if gone.iter().any(|gone| gone.is_same(&policy)) {
            return;
        }
        if gone.len() >= MAX_GONE {
            gone.clear();
            policy = Policy::decline();
        }
        gone.push(policy);
    }
}

fn typed(handlers: Option<HandlerSet>) -> Option<Arc<Handlers>> {
    Arc::downcast(handlers?).ok()
}

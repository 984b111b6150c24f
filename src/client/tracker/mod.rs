//! The facts about threads and turns: who opened a thread, whether this connection follows it, and
//! for every turn, whoever started it, whether it runs, how it ended, what it used, and its commands
//! and sub-agents. With these facts, steering, interrupting, dropping and answering need no guesses.
//!
//! The reader updates the tracker before any stream sees the event, and so do the hooks that run in
//! the reader when a response is routed. The one lock is never held while anything is sent.
//!
//! The facts are bounded. Finished turns are kept for a while, so that late events find them.

mod agents;
mod changes;
mod follow;
mod guard;
mod interrupt;
mod limits;
mod locked;
#[cfg(test)]
mod model_tests;
mod observe;
mod owner;
mod ownership;
mod phase;
mod queries;
mod reports;
mod shells;
mod started_by;
mod thread;
mod turn;
mod usage;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock, Weak},
};

use tokio::sync::Notify;

use crate::rpc::{Aside, Connection, Lock};
pub(crate) use agents::Agent;
use agents::Agents;
use changes::Changes;
pub(crate) use guard::{GuardRole, PendingStart, TurnGuard};
use limits::Limits;
pub(crate) use owner::HandlerSet;
pub(crate) use ownership::Answerer;
pub(crate) use phase::Phase;
pub use started_by::StartedBy;
use thread::ThreadEntry;
pub(crate) use turn::Standing;

/// How many threads are kept before the first look for threads that can be forgotten.
const THREADS: usize = 4096;

pub(crate) struct Tracker {
    state: Lock<State>,
    /// Notified when a turn has begun, ended or shown its first item, and when a thread is no longer
    /// followed.
    changed: Notify,
    connection: OnceLock<Weak<Connection>>,
    aside: Aside,
    myself: Weak<Self>,
}

#[derive(Default)]
struct State {
    threads: HashMap<String, ThreadEntry>,
    /// How many threads there may be before the next look for threads that can be forgotten.
    room: usize,
    agents: Agents,
    /// What to announce when the lock is released.
    changes: Changes,
    limits: Limits,
    /// Unknown threads, each with the thread whose turn caused its own: the thread that spawned it
    /// or sent it a message.
    links: HashMap<String, String>,
    /// The most recent threads that were opened through this client and then closed. No other
    /// thread can be their parent.
    closed_threads: VecDeque<String>,
    /// Whether the connection has ended.
    closed: bool,
}

impl State {
    /// The entry of a thread, added if it is not known yet.
    fn thread(&mut self, thread: &str) -> &mut ThreadEntry {
        self.thread_and_changes(thread).0
    }

    /// The entry of a thread, added if it is not known yet, and where to note what changes.
    fn thread_and_changes(&mut self, thread: &str) -> (&mut ThreadEntry, &mut Changes) {
        if !self.threads.contains_key(thread) {
            self.make_room();
        }
        let entry = self.threads.entry(thread.to_owned()).or_default();
        (entry, &mut self.changes)
    }

    /// Forgets the threads that nothing depends on, and the finished turns of the others, if there
    /// are too many threads.
    fn make_room(&mut self) {
        if self.threads.len() < self.room.max(THREADS) {
            return;
        }
        self.threads.retain(|_, thread| thread.is_needed());
        for thread in self.threads.values_mut() {
            thread.forget_finished_turns();
        }
        self.room = 2 * self.threads.len();
    }
}

impl Tracker {
    pub(crate) fn new(aside: Aside) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            state: Lock::default(),
            changed: Notify::new(),
            connection: OnceLock::new(),
            aside,
            myself: myself.clone(),
        })
    }

    pub(crate) fn attach(&self, connection: &Arc<Connection>) {
        let _ = self.connection.set(Arc::downgrade(connection));
    }

    /// Records the end of the connection.
    pub(crate) fn close(&self) {
        let mut locked = self.lock();
        let state = &mut *locked;
        state.closed = true;
        let mut owners = Vec::new();
        for thread in state.threads.values_mut() {
            thread.close(&mut state.changes);
            owners.extend(thread.owner.take());
        }
        drop(locked);
        self.drop_handlers(Some(owners));
    }
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").finish_non_exhaustive()
    }
}

//! Every turn of every thread as the reader sees it, whoever started it: who started it, whether it
//! runs, its commands and its sub-agents. The log is bounded. Finished turns are kept for a while,
//! so that late events find them.

mod agents;
mod entry;
mod observe;
mod shells;
mod started_by;

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::protocol::TurnStatus;

pub(crate) use agents::Agent;
use agents::Agents;
pub(crate) use entry::Standing;
use entry::{ThreadEntry, TurnEntry};
pub use started_by::StartedBy;

/// How many threads are kept.
const THREADS: usize = 4096;

#[derive(Default)]
pub(crate) struct TurnLog {
    state: Mutex<State>,
    /// Notified when a turn has begun or ended.
    changed: Notify,
}

#[derive(Default)]
struct State {
    threads: HashMap<String, ThreadEntry>,
    agents: Agents,
}

impl TurnLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Records that a request of this client started a turn.
    pub(crate) fn began(&self, thread: &str, turn: &str, by: StartedBy) {
        // NB. The response to `turn/start` may come before or after the events of the turn, and is
        // not an event itself.
        self.lock().thread(thread).named(turn).cause = Some(by);
    }

    /// Records the end of a turn that the server reported only when asked.
    pub(crate) fn recovered(&self, thread: &str, turn: &str, status: TurnStatus) {
        self.lock().thread(thread).named(turn).recovered(status);
        self.changed.notify_waiters();
    }

    /// Records that a turn is over although the server has not reported its end and does not know
    /// it.
    pub(crate) fn lost(&self, thread: &str, turn: &str) {
        if let Some(entry) = self.lock().threads.get_mut(thread) {
            entry.lose(|known| known.is(turn));
        }
        self.changed.notify_waiters();
    }

    /// Whether the server has reported that nothing runs on the thread, although the turn has begun
    /// and its end was not reported.
    pub(crate) fn lacks_end(&self, thread: &str, turn: &str) -> bool {
        let state = self.lock();
        let entry = state.threads.get(thread);
        entry.is_some_and(|entry| entry.lacks_end(turn))
    }

    /// Records that this connection begins to follow a thread, and whether a turn is running on it.
    pub(crate) fn followed(&self, thread: &str, is_active: bool) {
        let mut state = self.lock();
        if is_active {
            state.thread(thread).followed(true);
        } else if let Some(entry) = state.threads.get_mut(thread) {
            entry.followed(false);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Records that this connection no longer follows a thread, whose turns continue unseen.
    pub(crate) fn let_go(&self, thread: &str) {
        if let Some(entry) = self.lock().threads.get_mut(thread) {
            entry.let_go();
        }
        self.changed.notify_waiters();
    }

    /// Records that this client enqueued a message.
    pub(crate) fn enqueued(&self, thread: &str, message: &str) {
        self.lock().thread(thread).enqueue(message);
    }

    /// Records that the queue has dropped a message.
    pub(crate) fn dequeued(&self, thread: &str, message: &str) {
        if let Some(entry) = self.lock().threads.get_mut(thread) {
            entry.dequeue(message);
        }
    }

    /// The state of a turn; `None` if the turn is not known.
    pub(crate) fn standing(&self, thread: &str, turn: &str) -> Option<Standing> {
        self.with(thread, turn, |turn| turn.standing.clone())
    }

    /// The id that the items of a turn carry.
    pub(crate) fn canonical(&self, thread: &str, turn: &str) -> String {
        let found = self.with(thread, turn, |turn| turn.id.clone());
        found.unwrap_or_else(|| turn.to_owned())
    }

    /// Whether this line was the first to name the turn.
    pub(crate) fn is_first(&self, thread: &str, turn: &str, seq: u64) -> bool {
        self.with(thread, turn, |turn| turn.is_first(seq))
            .unwrap_or(false)
    }

    /// Whether the turn had no events before this line.
    pub(crate) fn begins_with(&self, thread: &str, turn: &str, seq: u64) -> bool {
        self.with(thread, turn, |turn| turn.begins_with(seq))
            .unwrap_or(false)
    }

    pub(crate) fn started_by(&self, thread: &str, turn: &str) -> StartedBy {
        let state = self.lock();
        let is_agent = state.agents.is_agent(thread);
        let entry = state.threads.get(thread);
        let found = entry.and_then(|entry| entry.find(turn));
        found.map_or(StartedBy::Unknown, |turn| turn.started_by(is_agent))
    }

    /// The running turn of a thread.
    pub(crate) fn running(&self, thread: &str) -> Option<String> {
        let state = self.lock();
        let turns = &state.threads.get(thread)?.turns;
        let running = turns.iter().rev().find(|turn| turn.is_running());
        running.map(|turn| turn.id.clone())
    }

    /// All running turns, with their threads.
    pub(crate) fn all_running(&self) -> Vec<(String, String)> {
        let state = self.lock();
        let running = state.threads.iter().flat_map(|(thread, entry)| {
            let turns = entry.turns.iter().filter(|turn| turn.is_running());
            turns.map(move |turn| (thread.clone(), turn.id.clone()))
        });
        running.collect()
    }

    pub(crate) fn is_goal_active(&self, thread: &str) -> bool {
        let state = self.lock();
        state
            .threads
            .get(thread)
            .is_some_and(|entry| entry.goal_active)
    }

    /// The model of a thread, if the server reported the thread's settings.
    pub(crate) fn model(&self, thread: &str) -> Option<String> {
        self.lock().threads.get(thread)?.model.clone()
    }

    /// The items of a turn's commands that have not ended.
    pub(crate) fn commands(&self, thread: &str, turn: &str) -> Vec<String> {
        self.with(thread, turn, |turn| turn.commands.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn agents_of_turn(&self, thread: &str, turn: &str) -> Vec<Agent> {
        self.lock().agents.of_turn(thread, turn)
    }

    pub(crate) fn agents_of_thread(&self, thread: &str) -> Vec<Agent> {
        self.lock().agents.of_thread(thread)
    }

    /// Records the nickname of an agent.
    pub(crate) fn agent_named(&self, thread: &str, nickname: Option<String>) {
        self.lock().agents.named(thread, nickname);
    }

    /// The state of the last turn of a thread.
    pub(crate) fn last_standing(&self, thread: &str) -> Option<Standing> {
        let state = self.lock();
        let last = state.threads.get(thread)?.turns.back()?;
        Some(last.standing.clone())
    }

    /// Waits until no known turn runs on any of these threads.
    pub(crate) async fn idle(&self, threads: &[String]) {
        loop {
            // NB. Register first: a change after this line wakes the wait below.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if threads.iter().all(|thread| self.running(thread).is_none()) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until `holds` returns a value. Checks again whenever a turn begins, ends or shows its
    /// first item.
    pub(crate) async fn until<T>(&self, holds: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = holds(self) {
                return found;
            }
            changed.await;
        }
    }

    fn with<T>(&self, thread: &str, turn: &str, get: impl FnOnce(&TurnEntry) -> T) -> Option<T> {
        let state = self.lock();
        state.threads.get(thread)?.find(turn).map(get)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn thread(&mut self, thread: &str) -> &mut ThreadEntry {
        if self.threads.len() >= THREADS && !self.threads.contains_key(thread) {
            let running = |entry: &ThreadEntry| entry.turns.iter().any(TurnEntry::is_running);
            self.threads.retain(|_, entry| running(entry));
        }
        self.threads.entry(thread.to_owned()).or_default()
    }
}

impl std::fmt::Debug for TurnLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnLog").finish_non_exhaustive()
    }
}

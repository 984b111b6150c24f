//! What callers tell the tracker: what the responses to their requests say, and what they have
//! enqueued.

use super::{Standing, StartedBy, Tracker};
use crate::protocol::TurnStatus;

impl Tracker {
    /// Records that a request of this client started a turn.
    pub(crate) fn began(&self, thread: &str, turn: &str, by: StartedBy) {
        // NB. The response to `turn/start` may come before or after the events of the turn, and is
        // not an event itself.
        self.lock().thread(thread).named(turn).cause = Some(by);
    }

    /// Records the end of a turn that the server reported only when asked.
    pub(crate) fn recovered(&self, thread: &str, turn: &str, status: &TurnStatus) {
        let mut state = self.lock();
        let (entry, changes) = state.thread_and_changes(thread);
        if !matches!(entry.turn(turn).standing, Standing::Ended(_)) {
            // Later events of the turn are late ones.
            entry.end(turn, status, 0, changes);
        }
    }

    /// Records that a turn is over although the server has not reported its end and does not know
    /// it.
    pub(crate) fn lost_end(&self, thread: &str, turn: &str) {
        let state = &mut *self.lock();
        let entry = state.threads.get_mut(thread);
        if let Some(turn) = entry.and_then(|entry| entry.find_mut(turn)) {
            turn.lose();
        }
        state.changes.note();
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

    /// Records the nickname of an agent.
    pub(crate) fn agent_named(&self, thread: &str, nickname: Option<String>) {
        self.lock().agents.named(thread, nickname);
    }
}

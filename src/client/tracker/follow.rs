//! Which threads this connection follows. A turn on any other thread would run unseen: the server
//! accepts the turn, and sends no events of it.

use super::{ThreadEntry, Tracker};
use crate::{
    error::TokenUsage,
    protocol::{Name, pointer::at},
};

impl Tracker {
    /// Whether this connection sees the turns of this thread.
    pub(crate) fn follows(&self, thread: &str) -> bool {
        self.thread(thread, |thread| thread.followed)
            .unwrap_or(false)
    }

    /// Whether it is certain that no turn runs: this connection sees the turns of this thread, and
    /// the thread was not resumed in the middle of a turn.
    pub(crate) fn is_at_rest(&self, thread: &str) -> bool {
        self.thread(thread, ThreadEntry::is_at_rest)
            .unwrap_or(false)
    }

    /// All threads whose turns this connection sees.
    pub(crate) fn followed(&self) -> Vec<String> {
        let state = self.lock();
        let followed = state.threads.iter().filter(|(_, thread)| thread.followed);
        followed.map(|(id, _)| id.clone()).collect()
    }

    /// Waits until this connection no longer follows this thread.
    pub(crate) async fn unfollowed(&self, thread: &str) {
        self.until(|| (!self.follows(thread)).then_some(())).await;
    }

    /// Records the response to a request that opens a thread: from now on this connection follows
    /// the thread. Returns the id of the thread.
    pub(crate) fn follow(&self, response: &str, is_new: bool) -> Option<String> {
        let thread: String = at(response, &["thread", "id"]).ok()?;
        let status = at(response, &["thread", "status", "type"]);
        let is_active = status.is_ok_and(|Name(status)| status == "active");
        let mut state = self.lock();
        if !state.closed {
            let entry = state.thread(&thread);
            entry.follow(is_active);
            if is_new {
                entry.total.get_or_insert_with(TokenUsage::default);
            }
            state.changes.note();
        }
        Some(thread)
    }

    /// Records that the server has ended the subscription to a thread. The thread's turns go on,
    /// unseen.
    pub(crate) fn unfollow(&self, thread: &str) {
        let state = &mut *self.lock();
        if let Some(entry) = state.threads.get_mut(thread) {
            entry.unfollow();
        }
        state.changes.note();
    }
}

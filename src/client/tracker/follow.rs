//! Which threads this connection follows. A turn on any other thread would run unseen: the server
//! accepts the turn, and sends no events of it.

use std::sync::Arc;

use super::{ThreadEntry, Tracker};
use crate::{
    error::TokenUsage,
    protocol::{Name, pointer::at},
    rpc::reply::OnReply,
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
        self.until(|tracker| (!tracker.follows(thread)).then_some(()))
            .await;
    }

    /// Records how a request changes which threads are followed, whoever makes the request; `then`
    /// runs afterwards.
    pub(crate) fn hook(
        self: &Arc<Self>,
        method: &str,
        params: &str,
        then: Option<OnReply>,
    ) -> Option<OnReply> {
        let tracker = self.clone();
        match method {
            "thread/start" | "thread/resume" | "thread/fork" => {
                let is_new = method == "thread/start";
                Some(Box::new(move |outcome| {
                    if let Ok(reply) = outcome
                        && let Ok(thread) = at::<String>(reply.result(), &["thread", "id"])
                    {
                        let status = at(reply.result(), &["thread", "status", "type"]);
                        let is_active = status.is_ok_and(|Name(status)| status == "active");
                        tracker.follow(&thread, is_new, is_active);
                    }
                    if let Some(then) = then {
                        then(outcome);
                    }
                }))
            }
            "thread/unsubscribe" => {
                let named = at::<String>(params, &["threadId"]).ok();
                Some(Box::new(move |outcome| {
                    if let (Ok(_), Some(named)) = (outcome, named) {
                        tracker.unfollow(&named);
                    }
                    if let Some(then) = then {
                        then(outcome);
                    }
                }))
            }
            _ => then,
        }
    }

    fn follow(&self, thread: &str, is_new: bool, is_active: bool) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let entry = state.thread(thread);
        entry.follow(is_active);
        if is_new {
            entry.total.get_or_insert_with(TokenUsage::default);
        }
        state.changes.note();
    }

    /// The turns of the thread go on, unseen.
    fn unfollow(&self, thread: &str) {
        let state = &mut *self.lock();
        if let Some(entry) = state.threads.get_mut(thread) {
            entry.unfollow();
        }
        state.changes.note();
    }
}

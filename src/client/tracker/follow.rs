//! Which threads this connection follows. A turn on any other thread would run unseen: the server
//! accepts the turn, and sends no events of it.

use std::{pin::pin, sync::Arc};

use serde::Deserialize;

use super::{Tracker, TurnTrack};
use crate::{error::TokenUsage, protocol::pointer::at, rpc::reply::OnReply};

impl Tracker {
    /// Whether this connection sees the turns of this thread.
    pub(crate) fn follows(&self, thread: &str) -> bool {
        let state = self.lock();
        state
            .threads
            .get(thread)
            .is_some_and(|track| track.followed)
    }

    /// Whether it is certain that no turn runs: this connection sees the turns of this thread, and
    /// the thread was not resumed in the middle of a turn.
    pub(crate) fn is_at_rest(&self, thread: &str) -> bool {
        let state = self.lock();
        let track = state.threads.get(thread);
        track.is_some_and(|track| track.followed && !track.busy && track.active.is_none())
    }

    /// All threads whose turns this connection sees.
    pub(crate) fn followed(&self) -> Vec<String> {
        let state = self.lock();
        let followed = state.threads.iter().filter(|(_, track)| track.followed);
        followed.map(|(thread, _)| thread.clone()).collect()
    }

    /// Waits until this connection no longer follows this thread.
    pub(crate) async fn let_go_of(&self, thread: &str) {
        loop {
            // NB. Register first: a change after this line wakes the wait below.
            let mut changed = pin!(self.let_go.notified());
            changed.as_mut().enable();
            if !self.follows(thread) {
                return;
            }
            changed.await;
        }
    }

    /// Records how a request changes which threads are followed, whoever makes the request; `then`
    /// runs afterwards.
    pub(crate) fn hook(
        self: &Arc<Self>,
        method: &str,
        params: &str,
        then: Option<OnReply>,
    ) -> Option<OnReply> {
        #[derive(Deserialize)]
        struct Thread {
            id: String,
            status: Option<Status>,
        }
        #[derive(Deserialize)]
        struct Status {
            #[serde(rename = "type", default)]
            kind: String,
        }
        let tracker = self.clone();
        match method {
            "thread/start" | "thread/resume" | "thread/fork" => {
                let is_new = method == "thread/start";
                Some(Box::new(move |outcome| {
                    if let Ok(reply) = outcome
                        && let Ok(thread) = at::<Thread>(reply.result(), &["thread"])
                    {
                        let is_active = thread.status.is_some_and(|status| status.kind == "active");
                        tracker.follow(&thread.id, is_new, is_active);
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
                        tracker.let_go(&named);
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
        let track = state.threads.entry(thread.to_owned()).or_default();
        let was_followed = std::mem::replace(&mut track.followed, true);
        if is_new {
            track.total.get_or_insert_with(TokenUsage::default);
        }
        if !is_active || !was_followed {
            // The turn may have ended while the thread was not followed, and another may have
            // begun.
            track.active = None;
        }
        let starts = track.turns.values().any(TurnTrack::is_about_to_start);
        track.busy = is_active && track.active.is_none() && !starts;
        drop(state);
        if !was_followed {
            self.log.followed(thread, is_active);
        }
    }

    /// The turns of the thread go on, unseen.
    fn let_go(&self, thread: &str) {
        self.log.let_go(thread);
        let mut state = self.lock();
        if let Some(track) = state.threads.get_mut(thread) {
            track.followed = false;
        }
        state.tidy(thread);
        drop(state);
        self.let_go.notify_waiters();
    }

    /// The thread is gone, with its turns.
    pub(super) fn unfollow(&self, thread: &str) {
        let mut locked = self.lock();
        let state = &mut *locked;
        if let Some(track) = state.threads.get_mut(thread) {
            track.lose(&mut state.news);
        }
        state.tidy(thread);
        drop(locked);
        self.let_go.notify_waiters();
    }
}

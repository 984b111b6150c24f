//! Updates the tracker from notifications. Runs in the reader, in order.

use std::sync::Weak;

use super::{Active, Phase, Tracker};
use crate::protocol::routing::RoutingKeys as _;
use crate::{
    protocol::pointer::at,
    protocol::{Name, TurnStatus},
    rpc::Incoming,
};

impl Tracker {
    pub(crate) fn observe(&self, message: &Incoming) {
        let parts = message.parts();
        let params = parts.params().unwrap_or_default();
        self.log.observe(message);
        if parts.method() == Some("turn/completed")
            && let (Some(thread), Some(turn)) = (parts.thread(), parts.turn())
            && self.is_unwanted(thread, turn)
            && let Some(connection) = self.connection.get().and_then(Weak::upgrade)
        {
            self.log.end_shells(&connection, thread, turn);
        }
        match parts.method() {
            Some("account/rateLimits/updated") => return self.lock().limits.updated(params),
            Some("thread/started") => return self.thread_started(params),
            _ => {}
        }
        let (Some(method), Some(thread)) = (parts.method(), parts.thread()) else {
            return;
        };
        match (method, parts.turn()) {
            ("turn/started", Some(turn)) => self.started(thread, turn, params),
            ("turn/completed", Some(turn)) => self.completed(thread, turn, params),
            ("item/completed", turn) => {
                self.agent_spawned(&parts);
                if let Some(turn) = turn {
                    self.item(thread, turn, parts.item_type(), params);
                }
            }
            ("thread/tokenUsage/updated", Some(turn)) => self.used(thread, turn, params),
            ("thread/status/changed", _) => self.status(thread, params),
            ("thread/closed", _) => {
                self.disown(thread);
                self.unfollow(thread);
            }
            ("thread/archived" | "thread/deleted", _) => self.unfollow(thread),
            _ => {}
        }
    }

    fn started(&self, thread: &str, turn: &str, params: &str) {
        let root = at::<Option<String>>(params, &["turn", "rootTurnId"]);
        let root = root.ok().flatten().unwrap_or_else(|| turn.to_owned());
        let unwanted = {
            let state = &mut *self.lock();
            state.link(thread, turn, &root);
            let track = state.threads.entry(thread.to_owned()).or_default();
            // The server sends a turn's events only to connections that follow the thread, so this
            // connection follows it.
            track.followed = true;
            track.busy = false;
            let active = Active {
                id: turn.to_owned(),
                root,
            };
            // One turn runs at a time: earlier turns have ended, whether the server reported it or
            // not.
            track
                .turns
                .retain(|id, old| active.is(id) || old.guards > 0 || old.unwanted);
            let mut unwanted = Vec::new();
            for (id, known) in track.turns.iter().filter(|(id, _)| active.is(id)) {
                if !known.is_over() {
                    known.enter(Phase::Started, &mut state.news);
                    unwanted.extend(known.unwanted.then(|| id.clone()));
                }
            }
            track.active = Some(active);
            unwanted
        };
        for id in unwanted {
            self.interrupt(thread, &id, 0);
        }
    }

    fn completed(&self, thread: &str, turn: &str, params: &str) {
        // The turn is over, even if its status can't be read.
        let status = at(params, &["turn", "status"]).unwrap_or(TurnStatus::Completed);
        let state = &mut *self.lock();
        state.roots.remove(turn);
        if let Some(track) = state.threads.get_mut(thread) {
            track.end(turn, &status, &mut state.news);
        }
        state.tidy(thread);
    }

    fn item(&self, thread: &str, turn: &str, item_type: Option<&str>, params: &str) {
        if item_type == Some("collabAgentToolCall") {
            self.agents(thread, turn, params);
        }
        let unwanted = {
            let state = &mut *self.lock();
            let track = state.threads.get(thread);
            let Some(known) = track.and_then(|track| track.turns.get(turn)) else {
                return;
            };
            // A review has items before the server says that the review has started.
            let accepted = *known.phase.borrow() == Phase::Accepted;
            if accepted {
                known.enter(Phase::Started, &mut state.news);
            }
            accepted && known.unwanted
        };
        if unwanted {
            self.interrupt(thread, turn, 0);
        }
    }

    fn status(&self, thread: &str, params: &str) {
        let Ok(Name(status)) = at(params, &["status", "type"]) else {
            return;
        };
        match &*status {
            "notLoaded" => self.unfollow(thread),
            "idle" | "systemError" => {
                if let Some(track) = self.lock().threads.get_mut(thread) {
                    track.busy = false;
                }
            }
            _ => {}
        }
    }
}

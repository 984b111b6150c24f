//! Updates the log from notifications. Runs in the reader, in order, before any stream sees the
//! event.

use serde::Deserialize;

use super::{
    TurnLog,
    entry::{FirstItem, Standing},
};
use crate::{
    protocol::pointer::at,
    protocol::{Name, TurnStatus, routing::RoutingKeys as _},
    rpc::Incoming,
};

impl TurnLog {
    pub(crate) fn observe(&self, message: &Incoming) {
        let parts = message.parts();
        let params = parts.params().unwrap_or_default();
        let (Some(method), Some(thread)) = (parts.method(), parts.thread()) else {
            return;
        };
        match (method, parts.turn()) {
            ("turn/started", Some(turn)) => self.started(thread, turn, params, message.seq()),
            ("turn/completed", Some(turn)) => self.completed(thread, turn, params, message.seq()),
            ("item/started" | "item/completed", Some(turn)) => self.item(message, thread, turn),
            ("thread/tokenUsage/updated", _) => self.lock().agents.used(thread, params),
            ("thread/goal/updated", _) => {
                let status = at::<Name<'_>>(params, &["goal", "status"]);
                let is_active = status.is_ok_and(|Name(status)| status == "active");
                self.lock().thread(thread).goal_active = is_active;
            }
            ("thread/goal/cleared", _) => self.lock().thread(thread).goal_active = false,
            ("thread/settings/updated", _) => {
                if let Ok(model) = at(params, &["threadSettings", "model"]) {
                    self.lock().thread(thread).model = Some(model);
                }
            }
            ("thread/status/changed", _) => {
                if let Ok(Name(status)) = at(params, &["status", "type"]) {
                    self.lock().thread(thread).rests = status != "active";
                }
            }
            ("thread/closed" | "thread/archived" | "thread/deleted", _) => {
                if let Some(entry) = self.lock().threads.get_mut(thread) {
                    entry.lose();
                }
                self.changed.notify_waiters();
            }
            _ => {}
        }
    }

    /// Records the end of the connection.
    pub(crate) fn close(&self) {
        for entry in self.lock().threads.values_mut() {
            entry.lose();
        }
        self.changed.notify_waiters();
    }

    fn started(&self, thread: &str, turn: &str, params: &str, seq: u64) {
        let root: Option<String> = at(params, &["turn", "rootTurnId"]).ok().flatten();
        let mut state = self.lock();
        state.thread(thread).started(turn, root.clone(), seq);
        if let Some(root) = root.filter(|root| root != turn) {
            let mut threads = state.threads.iter();
            let home = threads.find(|(of, entry)| *of != thread && entry.find(&root).is_some());
            if let Some(home) = home.map(|(of, _)| of.clone()) {
                state.agents.works_for(thread, &home, &root);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn completed(&self, thread: &str, turn: &str, params: &str, seq: u64) {
        // The turn is over, even if its status can't be read.
        let status = at(params, &["turn", "status"]).unwrap_or(TurnStatus::Completed);
        self.lock().thread(thread).turn(turn, seq).standing = Standing::Ended(status);
        self.changed.notify_waiters();
    }

    fn item(&self, message: &Incoming, thread: &str, turn: &str) {
        let parts = message.parts();
        let params = parts.params().unwrap_or_default();
        let completed = parts.method() == Some("item/completed");
        let item_type = parts.item_type().unwrap_or_default();
        let mut state = self.lock();
        match item_type {
            "collabAgentToolCall" | "subAgentActivity" => state.agents.item(thread, turn, params),
            "agentMessage" if completed => state.agents.message(thread, params),
            _ => {}
        }
        let entry = state.thread(thread).turn(turn, message.seq());
        if item_type == "commandExecution"
            && let Some(item) = parts.item()
        {
            if completed {
                entry.commands.remove(item);
            } else {
                entry.command_started(item);
            }
        }
        if entry.first.is_none() {
            entry.first = Some(first_item(item_type, params));
            drop(state);
            self.changed.notify_waiters();
        }
    }
}

fn first_item(item_type: &str, params: &str) -> FirstItem {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        source: Option<String>,
        client_id: Option<String>,
    }
    let item = || at::<Item>(params, &["item"]).ok();
    match item_type {
        "userMessage" => FirstItem::Message(item().and_then(|item| item.client_id)),
        "commandExecution" if item().and_then(|i| i.source).as_deref() == Some("userShell") => {
            FirstItem::Shell
        }
        "contextCompaction" => FirstItem::Compaction,
        "enteredReviewMode" => FirstItem::Review,
        _ => FirstItem::Other,
    }
}

//! Updates the log from notifications. Runs in the reader, in order, before any stream sees the
//! event.

use super::{StartedBy, State, TurnLog, entry::FirstItem};
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
                    self.lock().thread(thread).is_now(&status);
                    self.changed.notify_waiters();
                }
            }
            ("thread/closed" | "thread/archived" | "thread/deleted", _) => {
                if let Some(entry) = self.lock().threads.get_mut(thread) {
                    entry.close();
                }
                self.changed.notify_waiters();
            }
            _ => {}
        }
    }

    /// Records the end of the connection.
    pub(crate) fn close(&self) {
        for entry in self.lock().threads.values_mut() {
            entry.lose(|_| true);
        }
        self.changed.notify_waiters();
    }

    fn started(&self, thread: &str, turn: &str, params: &str, seq: u64) {
        let root: Option<String> = at(params, &["turn", "rootTurnId"]).ok().flatten();
        let mut locked = self.lock();
        locked.thread(thread).started(turn, root.clone(), seq);
        if let Some(root) = root.filter(|root| root != turn) {
            let State { threads, agents } = &mut *locked;
            let mut homes = threads.iter();
            let home = homes.find(|(of, entry)| *of != thread && entry.find(&root).is_some());
            if let Some((home, _)) = home {
                agents.works_for(threads, thread, home, &root);
            }
        }
        drop(locked);
        self.changed.notify_waiters();
    }

    fn completed(&self, thread: &str, turn: &str, params: &str, seq: u64) {
        // The turn is over, even if its status can't be read.
        let status = at(params, &["turn", "status"]).unwrap_or(TurnStatus::Completed);
        self.lock().thread(thread).completed(turn, status, seq);
        self.changed.notify_waiters();
    }

    fn item(&self, message: &Incoming, thread: &str, turn: &str) {
        let parts = message.parts();
        let params = parts.params().unwrap_or_default();
        let completed = parts.method() == Some("item/completed");
        let item_type = parts.item_type().unwrap_or_default();
        let mut locked = self.lock();
        let State { threads, agents } = &mut *locked;
        match item_type {
            "collabAgentToolCall" | "subAgentActivity" => {
                agents.item(threads, thread, turn, params);
            }
            "agentMessage" if completed => agents.message(thread, params),
            _ => {}
        }
        let of = locked.thread(thread);
        // A message is delivered only once, so it can be forgotten.
        let delivered = item_type == "userMessage"
            && of.has_queued()
            && text_at(params, &["item", "clientId"]).is_some_and(|id| of.dequeue(&id));
        let entry = of.seen(turn, message.seq());
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
            if delivered {
                entry.cause.get_or_insert(StartedBy::Queue);
            }
            drop(locked);
            self.changed.notify_waiters();
        }
    }
}

/// Returns the text at this path, if there is one.
fn text_at(params: &str, path: &'static [&'static str]) -> Option<String> {
    at::<Option<String>>(params, path).ok().flatten()
}

fn first_item(item_type: &str, params: &str) -> FirstItem {
    let source = || text_at(params, &["item", "source"]);
    match item_type {
        "userMessage" => FirstItem::UserMessage,
        "commandExecution" if source().as_deref() == Some("userShell") => FirstItem::Shell,
        "contextCompaction" => FirstItem::Compaction,
        "enteredReviewMode" => FirstItem::Review,
        _ => FirstItem::Other,
    }
}

//! Updates the tracker from notifications. Runs in the reader, in order, before any stream sees the
//! event.

use super::{Phase, StartedBy, State, Tracker, agents::AgentItem, turn::FirstItem};
use crate::{
    protocol::pointer::at,
    protocol::{Name, TurnStatus, routing::RoutingKeys as _},
    rpc::Incoming,
};

impl Tracker {
    pub(crate) fn observe(&self, message: &Incoming) {
        let parts = message.parts();
        let params = parts.params().unwrap_or_default();
        match parts.method() {
            Some("account/rateLimits/updated") => return self.lock().limits.updated(params),
            Some("thread/started") => return self.thread_started(params),
            _ => {}
        }
        let (Some(method), Some(thread)) = (parts.method(), parts.thread()) else {
            return;
        };
        match (method, parts.turn()) {
            ("turn/started", Some(turn)) => self.started(thread, turn, params, message.seq()),
            ("turn/completed", Some(turn)) => self.completed(thread, turn, params, message.seq()),
            ("item/started", turn) => self.item(message, thread, turn, false),
            ("item/completed", turn) => self.item(message, thread, turn, true),
            ("thread/tokenUsage/updated", turn) => self.used(thread, turn, params),
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
            ("thread/status/changed", _) => self.status(thread, params),
            ("thread/closed" | "thread/archived" | "thread/deleted", _) => {
                if method == "thread/closed" {
                    self.disown(thread);
                }
                let state = &mut *self.lock();
                if let Some(entry) = state.threads.get_mut(thread) {
                    entry.close(&mut state.changes);
                }
            }
            _ => {}
        }
    }

    pub(super) fn started(&self, thread: &str, turn: &str, params: &str, seq: u64) {
        let root: Option<String> = at(params, &["turn", "rootTurnId"]).ok().flatten();
        let mut locked = self.lock();
        let state = &mut *locked;
        let cause = root.as_deref().filter(|root| *root != turn);
        let cause = cause.and_then(|root| Some((state.home_of(root, thread)?, root.to_owned())));
        if let Some((home, root)) = &cause {
            state.link(thread, home);
            state.agents.works_for(&state.threads, thread, home, root);
        }
        let (entry, changes) = state.thread_and_changes(thread);
        let begun = entry.started(turn, root.as_deref(), seq);
        begun.caused_by = cause;
        let id = begun.id.clone();
        begun.enter(Phase::Started, changes);
        changes.note();
        let is_unwanted = begun
            .held
            .as_ref()
            .is_some_and(|held| held.unwanted && !held.is_over());
        // Earlier turns have ended, whether the server reported it or not.
        for other in entry.turns.iter_mut().filter(|other| other.id != id) {
            other
                .held
                .take_if(|held| held.guards == 0 && !held.unwanted);
        }
        drop(locked);
        if is_unwanted {
            self.interrupt(thread, &id, 0);
        }
    }

    pub(super) fn completed(&self, thread: &str, turn: &str, params: &str, seq: u64) {
        if self.is_unwanted(thread, turn) {
            self.end_shells(thread, turn);
        }
        // The turn is over, even if its status can't be read.
        let status = at(params, &["turn", "status"]).unwrap_or(TurnStatus::Completed);
        let mut state = self.lock();
        let (entry, changes) = state.thread_and_changes(thread);
        entry.end(turn, &status, seq, changes);
    }

    fn item(&self, message: &Incoming, thread: &str, turn: Option<&str>, completed: bool) {
        let parts = message.parts();
        let params = parts.params().unwrap_or_default();
        let item_type = parts.item_type().unwrap_or_default();
        let mut locked = self.lock();
        let item = AgentItem::read(item_type, params);
        if let Some(item) = item.as_ref().filter(|_| completed) {
            for child in item.spawned(item_type) {
                locked.inherit(thread, child);
            }
        }
        let Some(turn) = turn else { return };
        let State {
            threads, agents, ..
        } = &mut *locked;
        if let Some(item) = item {
            agents.item(threads, thread, turn, item);
        } else if completed && item_type == "agentMessage" {
            agents.message(thread, params);
        }
        let (of, changes) = locked.thread_and_changes(thread);
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
            changes.note();
        }
        // A review has items before the server says that the review has started.
        let held = entry.held.as_ref().filter(|_| completed);
        let accepted = held.filter(|held| *held.phase.borrow() == Phase::Accepted);
        let is_unwanted = accepted.is_some_and(|held| held.unwanted);
        if accepted.is_some() {
            entry.enter(Phase::Started, changes);
        }
        drop(locked);
        if is_unwanted {
            self.interrupt(thread, turn, 0);
        }
    }

    pub(super) fn status(&self, thread: &str, params: &str) {
        if let Ok(Name(status)) = at(params, &["status", "type"]) {
            let mut state = self.lock();
            let (entry, changes) = state.thread_and_changes(thread);
            entry.set_status(&status, changes);
        }
    }
}

impl State {
    /// The thread of a turn, if that is another thread than `but`.
    fn home_of(&self, turn: &str, but: &str) -> Option<String> {
        let mut homes = self.threads.iter();
        let home = homes.find(|(id, entry)| *id != but && entry.find(turn).is_some());
        home.map(|(id, _)| id.clone())
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

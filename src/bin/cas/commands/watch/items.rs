//! The items in progress that requests refer to: file changes, which a request does not repeat, and
//! tool calls, without which a request to approve one proves nothing.

use std::collections::HashMap;

use crate::commands::request_summary::ToolCall;
use cas_sdk::{
    TurnEvent,
    protocol::{FileUpdateChange, ThreadItem, TurnInfo, TurnStatus},
};

#[derive(Default)]
pub(super) struct Items {
    changes: HashMap<String, Vec<FileUpdateChange>>,
    /// Each call, and whether its approval was requested: codex requests it once.
    calls: HashMap<String, (ToolCall, bool)>,
}

impl Items {
    /// Starts over from a snapshot, which contains the items of a running turn.
    pub(super) fn snapshot(&mut self, turns: &[TurnInfo]) {
        *self = Self::default();
        let running = { turns.iter() }.filter(|turn| turn.status == TurnStatus::InProgress);
        for item in running.flat_map(|turn| &turn.items) {
            self.began(item);
        }
    }

    pub(super) fn event(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::ItemStarted(item) => self.began(item),
            TurnEvent::ItemCompleted(item) => {
                let item = serde_json::to_value(item).unwrap_or_default();
                let id = item["id"].as_str().unwrap_or_default();
                self.changes.remove(id);
                self.calls.remove(id);
            }
            TurnEvent::Completed(_) => *self = Self::default(),
            _ => {}
        }
    }

    fn began(&mut self, item: &ThreadItem) {
        let item = serde_json::to_value(item).unwrap_or_default();
        let id = item["id"].as_str().unwrap_or_default().to_owned();
        if item["status"] != "inProgress" {
            return;
        }
        match item["type"].as_str() {
            Some("fileChange") => {
                let changes = serde_json::from_value(item["changes"].clone());
                self.changes.insert(id, changes.unwrap_or_default());
            }
            Some("mcpToolCall") => {
                self.calls.insert(id, (ToolCall::of_item(&item), false));
            }
            _ => {}
        }
    }

    /// The file changes of an item.
    pub(super) fn changes(&self, item: Option<&str>) -> Vec<FileUpdateChange> {
        let changes = item.and_then(|item| self.changes.get(item));
        changes.cloned().unwrap_or_default()
    }

    /// Returns whether exactly this call is in progress and its approval was not requested before.
    pub(super) fn take_call(&mut self, call: &ToolCall) -> bool {
        let mut calls = self.calls.values_mut();
        let found = calls.find(|(known, is_asked)| !is_asked && known == call);
        match found {
            Some((_, is_asked)) => {
                *is_asked = true;
                true
            }
            None => false,
        }
    }
}

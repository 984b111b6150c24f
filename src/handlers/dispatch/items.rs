//! The items that wait for approval: facts that a request does not repeat, or about which a request
//! can't be trusted.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::protocol::routing::RoutingKeys as _;
use crate::{
    protocol::pointer::at,
    rpc::{Incoming, Lock},
};

/// How many items of each kind are kept until their approval.
const MAX_ITEMS: usize = 1024;

/// A thread and an item.
type Key = (String, String);

#[derive(Default)]
pub(crate) struct Items(Lock<State>);

#[derive(Default)]
struct State {
    /// The `item/started` notifications of file changes: the request for approval does not repeat
    /// the changes.
    changes: HashMap<Key, Incoming>,
    /// The MCP tool calls in progress.
    calls: HashMap<Key, Call>,
}

struct Call {
    server: String,
    tool: String,
    read_only: bool,
    /// Whether the approval of the call was requested. Codex requests it once, so a second request
    /// does not come from codex.
    asked: bool,
}

impl Items {
    pub(super) fn started(&self, message: &Incoming) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Started {
            server: String,
            tool: String,
            read_only_hint: Option<bool>,
        }
        let parts = message.parts();
        let (Some(thread), Some(item)) = (parts.thread(), parts.item()) else {
            return;
        };
        let key = (thread.to_owned(), item.to_owned());
        let mut state = self.0.lock();
        match parts.item_type() {
            Some("fileChange") if state.changes.len() < MAX_ITEMS => {
                state.changes.insert(key, message.clone());
            }
            Some("mcpToolCall") if state.calls.len() < MAX_ITEMS => {
                let Ok(started) = at::<Started>(parts.params().unwrap_or_default(), &["item"])
                else {
                    return;
                };
                let call = Call {
                    server: started.server,
                    tool: started.tool,
                    read_only: started.read_only_hint == Some(true),
                    asked: false,
                };
                state.calls.insert(key, call);
            }
            _ => {}
        }
    }

    pub(super) fn completed(&self, thread: &str, item: &str) {
        self.forget(|t, i| t == thread && i == item);
    }

    /// Forgets the items of a thread when its turn or the thread itself has ended.
    pub(super) fn ended(&self, thread: &str) {
        self.forget(|t, _| t == thread);
    }

    /// The file changes of an item that waits for approval.
    pub(super) fn changes(&self, thread: Option<&str>, item: Option<&str>) -> Option<Value> {
        let key = (thread?.to_owned(), item?.to_owned());
        let message = self.0.lock().changes.get(&key).cloned()?;
        at(message.parts().params()?, &["item", "changes"]).ok()
    }

    /// Whether a call of this tool waits for approval and, if so, whether the tool is declared
    /// read-only. After this, the call no longer waits.
    pub(super) fn take_call(&self, thread: &str, server: &str, tool: &str) -> Option<bool> {
        let mut state = self.0.lock();
        let waiting = state.calls.iter_mut().find(|((of, _), call)| {
            of == thread && call.server == server && call.tool == tool && !call.asked
        });
        let (_, call) = waiting?;
        call.asked = true;
        Some(call.read_only)
    }

    fn forget(&self, gone: impl Fn(&str, &str) -> bool) {
        let mut state = self.0.lock();
        let State { changes, calls } = &mut *state;
        if !changes.is_empty() {
            changes.retain(|(thread, item), _| !gone(thread, item));
        }
        if !calls.is_empty() {
            calls.retain(|(thread, item), _| !gone(thread, item));
        }
    }
}

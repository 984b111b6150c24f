//! What the server refuses by its own settings, without a request that this client could answer.

use serde::Deserialize;

use super::Dispatch;
use crate::{
    handlers::policy::{Decided, DecidedBy},
    protocol::{pointer::at, routing::RoutingKeys as _},
    rpc::Incoming,
};

/// An MCP tool call.
#[derive(Deserialize)]
struct Call {
    server: String,
    tool: String,
    error: Option<CallError>,
}

#[derive(Deserialize)]
struct CallError {
    message: String,
}

/// The model's error text for a call that needs approval while nobody may be asked.
const NEVER_ASKED: &str = "requires approval, but approval policy is never";

impl Dispatch {
    /// Reports to the audit an MCP tool call that the server has denied because it may not ask, and
    /// the setting that would allow the call.
    pub(super) fn tell_what_settings_forbid(&self, message: &Incoming) {
        let parts = message.parts();
        if parts.item_type() != Some("mcpToolCall") {
            return;
        }
        let Ok(call) = at::<Call>(parts.params().unwrap_or_default(), &["item"]) else {
            return;
        };
        let error = call.error.map(|error| error.message).unwrap_or_default();
        if !error.contains(NEVER_ASKED) {
            return;
        }
        let Call { server, tool, .. } = call;
        let text = format!(
            "with approval_policy \"never\" only MCP tools that are annotated as harmless run; allow this one with \
             mcp_servers.{server}.tools.{tool}.approval_mode = \"approve\", all of the server with \
             mcp_servers.{server}.default_tools_approval_mode = \"approve\", or have it asked for with approval_policy \
             \"on-request\""
        );
        let decided = Decided {
            by: DecidedBy::Settings(text),
            what: "decline".to_owned(),
            warning: None,
        };
        decided.log(message, &self.aside);
        if self.audit.is_some()
            && let Some(myself) = self.myself.upgrade()
        {
            let answer = serde_json::json!({"message": error}).to_string();
            let message = message.clone();
            // Deliberately detached: the task ends with the audit, which is called once.
            tokio::spawn(async move {
                let _turn = myself.auditing.lock().await;
                myself
                    .call_audit(decided.into_audit(&message, &answer))
                    .await;
            });
        }
    }
}

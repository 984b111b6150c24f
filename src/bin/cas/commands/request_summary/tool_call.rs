//! The call of an MCP server's tool, as the request for its approval describes it.

use serde_json::Value;

/// NB. Every field may come from the MCP server itself.
#[derive(Debug, PartialEq)]
pub(in crate::commands) struct ToolCall {
    pub(in crate::commands) server: String,
    pub(in crate::commands) tool: String,
    pub(in crate::commands) arguments: Value,
}

impl ToolCall {
    /// Reads the call from the `_meta` of a request.
    pub(super) fn of(server: String, meta: &Value) -> Self {
        Self {
            server,
            tool: super::text_of(&meta["tool_name"]),
            arguments: meta["tool_params"].clone(),
        }
    }

    /// Reads the call from its item.
    pub(in crate::commands) fn of_item(item: &Value) -> Self {
        let text = |key: &str| super::text_of(&item[key]);
        Self {
            server: text("server"),
            tool: text("tool"),
            arguments: item["arguments"].clone(),
        }
    }
}

//! `ToolContext`: where a tool call comes from.

use crate::client::handle::CasClient;

/// Where a tool call comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ToolContext {
    /// The thread of the call.
    pub thread_id: String,
    /// The turn of the call.
    pub turn_id: String,
    /// The id of the call, which is the id of its item.
    pub call_id: String,
    /// The client, for the tool's own requests. This clone does not keep the connection alive.
    pub client: CasClient,
}

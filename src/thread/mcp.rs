//! The MCP servers of a thread: their readiness, and tool calls without an agent.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout_at;

use crate::{
    client::time,
    error::Error,
    events::Filter,
    protocol::{
        ListMcpServerStatusParams, McpServerConnectionStatus, McpServerStatus,
        McpServerStatusDetail, McpServerToolCallParams, McpServerToolCallResponse,
    },
    thread::Thread,
};

/// The polling interval while no status notification arrives.
const LOOK: Duration = Duration::from_millis(500);

impl Thread {
    /// `mcpServerStatus/list`: lists the MCP servers of this thread, with their tools and without
    /// their resources.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn mcp_servers(&self) -> Result<Vec<McpServerStatus>, Error> {
        // A server that has no resources may not answer a request for them.
        let params = ListMcpServerStatusParams::default()
            .thread_id(self.id())
            .detail(McpServerStatusDetail::ToolsAndAuthOnly);
        self.client().pages(params).all().await
    }

    /// Waits until no MCP server of the thread is still starting, and returns all of them. Some
    /// servers may have failed. A turn waits for its servers for only a second, and then runs
    /// without their tools.
    ///
    /// # Errors
    /// [`Error::Timeout`] if a server is still starting after `within`; otherwise the same errors
    /// as [`mcp_servers`](Self::mcp_servers).
    pub async fn await_mcp_ready(&self, within: Duration) -> Result<Vec<McpServerStatus>, Error> {
        let deadline = time::deadline(within);
        let filter = Filter::all()
            .thread(self.id())
            .method("mcpServer/startupStatus/updated");
        let mut told = self.client().events(filter);
        loop {
            let servers = self.mcp_servers().await?;
            let starting = |server: &McpServerStatus| {
                matches!(
                    server.runtime_status,
                    Some(
                        McpServerConnectionStatus::Starting | McpServerConnectionStatus::NotStarted
                    )
                )
            };
            if !servers.iter().any(starting) {
                return Ok(servers);
            }
            let patience = time::deadline(LOOK).min(deadline);
            if let Ok(Some(Err(error @ Error::Closed(_)))) = timeout_at(patience, told.next()).await
            {
                return Err(error);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::timeout("mcpServer/startupStatus/updated", within));
            }
        }
    }

    /// `mcpServer/tool/call`: calls a tool of an MCP server of this thread. **Nobody is asked for
    /// approval**, whatever the policies and the tool's annotations say.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request); errors of the MCP server
    /// itself arrive as [`Error::Rpc`]. A tool that fails is not an error;
    /// [`is_error`](McpServerToolCallResponse::is_error) reports it.
    pub async fn call_mcp_tool(
        &self,
        server: impl Into<String>,
        tool: impl Into<String>,
        arguments: impl Serialize,
    ) -> Result<McpServerToolCallResponse, Error> {
        let arguments = serde_json::to_value(arguments)
            .map_err(|e| Error::encode("mcpServer/tool/call", &e))?;
        let params = McpServerToolCallParams::new(self.id(), server, tool).arguments(arguments);
        self.client().request(params).await
    }
}

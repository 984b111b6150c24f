//! `RequestContext`: where a request of the server comes from.

use crate::{client::handle::CasClient, protocol::RequestId};

/// Where a request of the server comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestContext {
    /// The client, for requests of the handler's own. It does not keep the connection alive; a handler that captures
    /// another clone of the client does.
    pub client: CasClient,
    /// The id of the request.
    pub request_id: RequestId,
    /// The thread that the request names.
    pub thread_id: Option<String>,
    /// The turn that the request names.
    pub turn_id: Option<String>,
    /// The item that the request names.
    pub item_id: Option<String>,
}

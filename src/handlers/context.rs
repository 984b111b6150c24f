//! `RequestContext`: where a server request comes from.

use crate::{client::handle::CasClient, protocol::RequestId};

/// Where a server request comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestContext {
    /// The client, for the handler's own requests. This clone does not keep the connection alive;
    /// another clone that the handler captures does.
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

//! The requests that wait for an answer.

use std::time::Instant;

use crate::protocol::routing::RoutingKeys as _;
use crate::{handlers::request::request_id, protocol::RequestId, rpc::Incoming};

/// A server request that has not been answered yet; see
/// [`CasClient::pending_requests`](crate::CasClient::pending_requests).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PendingRequest {
    /// The id of the request.
    pub id: RequestId,
    /// The method of the request.
    pub method: String,
    /// The thread that the request names.
    pub thread_id: Option<String>,
    /// The turn that the request names.
    pub turn_id: Option<String>,
    /// The item that the request names.
    pub item_id: Option<String>,
    /// When the request was received.
    pub since: Instant,
}

/// Sorts the requests, the oldest first.
pub(super) fn sorted(open: &[Incoming]) -> Vec<PendingRequest> {
    let mut sorted: Vec<&Incoming> = Vec::new();
    for message in open {
        let at = sorted.partition_point(|other| other.seq() < message.seq());
        sorted.insert(at, message); // There are a few, and mostly one.
    }
    sorted.into_iter().map(describe).collect()
}

fn describe(message: &Incoming) -> PendingRequest {
    let parts = message.parts();
    let text = |part: Option<&str>| part.map(str::to_owned);
    PendingRequest {
        id: request_id(message),
        method: text(parts.method()).unwrap_or_default(),
        thread_id: text(parts.thread()),
        turn_id: text(parts.turn()),
        item_id: text(parts.item()),
        since: message.received_at(),
    }
}

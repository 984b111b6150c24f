//! The claim of an open request. Whoever holds it answers the request, and nobody else does.

/// Who answers a request. A claim is never given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// This crate or a handler.
    Handlers,
    /// The caller of `PendingRequest::answer`.
    Caller,
}

/// Why a request can't be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclaimable {
    /// Somebody else has claimed it.
    Claimed,
    /// It is no longer open.
    Settled,
}

//! Why a request of the server no longer waits.

/// Why a request of the server no longer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settled {
    /// This client has sent an answer. Another client's answer may have reached the server first;
    /// the item of the request shows the result.
    Answered,
    /// The server says that the request is settled (`serverRequest/resolved`), as by the answer of
    /// another client.
    Resolved,
    /// What the request was about is over: its item, its turn or its thread.
    Over,
    /// The connection has ended. The request may still wait for the other clients.
    Closed,
    /// This connection no longer follows the thread. The request may still wait for the other
    /// clients.
    Unfollowed,
}

impl Settled {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Answered => "this client has answered it",
            Self::Resolved => "the server says that it is settled",
            Self::Over => "its item, turn or thread is over",
            Self::Closed => "the connection has ended",
            Self::Unfollowed => "this connection no longer follows its thread",
        }
    }
}

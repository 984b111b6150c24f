//! Who started a turn.

use std::fmt;

/// Who started a turn; see [`Turn::started_by`](crate::Turn::started_by).
///
/// `turn/started` does not say who started the turn. The answer is derived from the requests of
/// this client and from the turn's first items, so it may be [`Unknown`](Self::Unknown) until the
/// first item has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartedBy {
    /// This client, with `turn/start`.
    Us,
    /// A goal of the thread that continues by itself: a turn without a user message.
    Goal,
    /// The queue of the thread, with an input that this client [enqueued](crate::Thread::enqueue).
    Queue,
    /// Another agent: the thread belongs to a sub-agent.
    SubAgent,
    /// This client or another, with `review/start`.
    Review,
    /// This client or another, with `thread/compact/start`.
    Compaction,
    /// A user's command, with `thread/shellCommand`. No model is involved.
    Shell,
    /// Another client of the same server, with `turn/start` or through the queue.
    OtherClient,
    /// Not known, or not known yet.
    Unknown,
}

impl StartedBy {
    /// The name in lower case, as in `sub-agent`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Goal => "goal",
            Self::Queue => "queue",
            Self::SubAgent => "sub-agent",
            Self::Review => "review",
            Self::Compaction => "compaction",
            Self::Shell => "shell",
            Self::OtherClient => "other client",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for StartedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

//! How a turn ended, and what it left.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::TokenUsage;
use crate::{
    client::time::Rounded,
    error::{CloseReason, Error, shortened::Shortened},
    protocol::{CodexErrorInfo, ThreadItem, ThreadTokenUsage, TurnStatus},
};

/// All that a turn produced.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TurnOutcome {
    /// The thread it ran on.
    pub thread_id: String,
    /// Its id.
    pub turn_id: String,
    /// How it ended; `InProgress` if the end was not seen.
    pub status: TurnStatus,
    /// The answer: the last message marked `final_answer`, else the last one without a mark.
    pub text: String,
    /// Every step, in the order they began.
    pub items: Vec<Item>,
    /// The tokens that this turn used by itself; `None` if the server told of none.
    pub usage: Option<TokenUsage>,
    /// The same with what its sub-agents used until its end, and theirs.
    pub usage_with_agents: Option<TokenUsage>,
    /// What the server said last of the whole thread: its tokens so far, and the size of the model's window.
    pub thread_usage: Option<ThreadTokenUsage>,
    /// From start to completion, as the server measured it.
    pub duration: Option<Duration>,
    /// Why it failed, if it did.
    pub failure: Option<TurnFailure>,
    /// Whether some of this is from the server's record instead of the turn's events: because its end was never told,
    /// or because events were missed by a reader that was too slow or too late.
    pub recovered: bool,
    /// Whether the input joined a turn that was already running.
    pub joined: bool,
}

/// One step of a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Item {
    /// The item in its last known state.
    pub item: ThreadItem,
    /// Whether its end was told. The server does not complete what an interrupt cut off; such an item is closed as it
    /// was last seen, with the text or the output that had come by then.
    pub completed: bool,
}

/// What the server says of a failure; [`class`](Self::class) says what it means.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct TurnFailure {
    /// The text for people.
    pub message: String,
    /// The class of the failure.
    pub info: Option<CodexErrorInfo>,
    /// More text, such as the cause of a retry.
    pub details: Option<String>,
    /// When the limit resets, of a failure that is a limit, in the outcome of a turn: the latest reset of the limits that
    /// are used up, as the server last told it in `account/rateLimits/updated`. `None` if it did not.
    pub resets_at: Option<SystemTime>,
}

impl fmt::Debug for TurnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnFailure")
            .field("message", &Shortened(&self.message))
            .field("info", &self.info)
            .field("details", &self.details.as_deref().map(Shortened))
            .field("resets_at", &self.resets_at)
            .finish()
    }
}

impl fmt::Display for TurnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shortened(&self.message).fmt(f)
    }
}

impl TurnOutcome {
    /// The outcome if the turn completed, else the error that says how it ended.
    ///
    /// # Errors
    /// A [`TurnError`] with this outcome in it, boxed since it is large.
    pub fn into_result(self) -> Result<Self, Box<TurnError>> {
        let kind = match &self.status {
            TurnStatus::Completed => return Ok(self),
            TurnStatus::Interrupted => TurnErrorKind::Interrupted,
            _ => TurnErrorKind::Failed,
        };
        Err(Box::new(TurnError {
            kind,
            outcome: self,
        }))
    }
}

/// A turn that ended other than well, with all that it had produced. Its `Debug` counts the items and does not show them.
#[derive(Clone)]
#[non_exhaustive]
pub struct TurnError {
    /// How it ended.
    pub kind: TurnErrorKind,
    /// What it had produced until then, and the server's reason in `failure`.
    pub outcome: TurnOutcome,
}

/// How a turn ended, if not well.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TurnErrorKind {
    /// The server says that it failed.
    Failed,
    /// It was interrupted.
    Interrupted,
    /// The connection ended first.
    Closed(Arc<CloseReason>),
    /// The thread was closed, archived or deleted, and how the turn ended is not on record.
    ThreadClosed,
    /// It did not end in time; see [`Turn::finish_by`](super::Turn::finish_by).
    DeadlinePassed {
        /// The deadline, without the grace period.
        after: Duration,
    },
}

impl TurnError {
    /// The class of the failure, as the server gave it.
    #[must_use]
    pub fn info(&self) -> Option<&CodexErrorInfo> {
        self.outcome.failure.as_ref()?.info.as_ref()
    }
}

impl fmt::Debug for TurnError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnError")
            .field("kind", &self.kind)
            .field("thread_id", &self.outcome.thread_id)
            .field("turn_id", &self.outcome.turn_id)
            .field("status", &self.outcome.status)
            .field("failure", &self.outcome.failure)
            .field("items", &self.outcome.items.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for TurnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.outcome.failure) {
            (TurnErrorKind::Failed, Some(failure)) => write!(f, "the turn failed: {failure}"),
            (TurnErrorKind::Failed, None) => write!(f, "the turn ended as {}", self.outcome.status),
            (TurnErrorKind::Interrupted, _) => f.write_str("the turn was interrupted"),
            (TurnErrorKind::Closed(reason), _) => {
                write!(f, "the connection ended during the turn: {reason}")
            }
            (TurnErrorKind::ThreadClosed, _) => {
                f.write_str("the thread was closed during the turn")
            }
            (TurnErrorKind::DeadlinePassed { after }, _) => {
                write!(f, "the turn did not end within {}", Rounded(*after))
            }
        }
    }
}

impl std::error::Error for TurnError {}

impl From<TurnError> for Error {
    fn from(error: TurnError) -> Self {
        Self::Turn(Box::new(error))
    }
}

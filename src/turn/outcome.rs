//! How a turn ended, and what it left.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::{CloseReason, Error},
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
    /// The tokens used, as far as the server told.
    pub usage: Option<ThreadTokenUsage>,
    /// From start to completion, as the server measured it.
    pub duration: Option<Duration>,
    /// Why it failed, if it did.
    pub failure: Option<TurnFailure>,
}

/// One step of a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Item {
    /// The item in its last known state.
    pub item: ThreadItem,
    /// Whether `item/completed` came. The server does not complete what an interrupt cut off; such an item is as it
    /// began, and a message has the text that had come by then.
    pub completed: bool,
}

/// What the server says of a failure.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TurnFailure {
    /// The text for people.
    pub message: String,
    /// The class of the failure.
    pub info: Option<CodexErrorInfo>,
    /// More text, such as the cause of a retry.
    pub details: Option<String>,
}

impl fmt::Display for TurnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
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

/// A turn that ended other than well, with all that it had produced.
#[derive(Debug, Clone)]
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
}

impl TurnError {
    /// The class of the failure, as the server gave it.
    #[must_use]
    pub fn info(&self) -> Option<&CodexErrorInfo> {
        self.outcome.failure.as_ref()?.info.as_ref()
    }
}

impl fmt::Display for TurnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.outcome.failure) {
            (TurnErrorKind::Failed, Some(failure)) => write!(f, "the turn failed: {failure}"),
            (TurnErrorKind::Failed, None) => write!(f, "the turn ended as {}", self.outcome.status),
            (TurnErrorKind::Interrupted, _) => f.write_str("the turn was interrupted"),
            (TurnErrorKind::Closed(_), _) => f.write_str("the connection ended during the turn"),
        }
    }
}

impl std::error::Error for TurnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            TurnErrorKind::Closed(reason) => Some(reason),
            _ => None,
        }
    }
}

impl From<TurnError> for Error {
    fn from(error: TurnError) -> Self {
        Self::Turn(Box::new(error))
    }
}

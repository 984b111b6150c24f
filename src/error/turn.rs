//! A turn that did not complete, or whose answer does not fit.

use std::{fmt, sync::Arc, time::Duration};

use super::{close::CloseReason, outcome::TurnOutcome, rounded::Rounded, shortened::Shortened};
use crate::protocol::{CodexErrorInfo, TurnStatus};

impl TurnOutcome {
    /// The outcome if the turn completed, else an error that says how it ended.
    ///
    /// # Errors
    /// A [`TurnError`] that holds this outcome, boxed since it is large.
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

/// A turn that failed, was interrupted or was cut off, with everything that it had produced.
/// `Debug` shows the number of items, not the items.
#[derive(Clone)]
#[non_exhaustive]
pub struct TurnError {
    /// What went wrong.
    pub kind: TurnErrorKind,
    /// What the turn had produced until then, and the server's reason in `failure`.
    pub outcome: TurnOutcome,
}

/// What went wrong with a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TurnErrorKind {
    /// The server reported a failure.
    Failed,
    /// The turn was interrupted.
    Interrupted,
    /// The connection ended first.
    Closed(Arc<CloseReason>),
    /// The thread was closed, archived or deleted, and the server has no record of how the turn ended.
    ThreadClosed,
    /// The turn did not end in time; see [`Ask::deadline`](crate::Ask::deadline).
    DeadlinePassed {
        /// The deadline, without the grace period.
        after: Duration,
    },
    /// The turn completed, but its answer is not of the type that was asked for; see
    /// [`Ask::structured`](crate::Ask::structured).
    AnswerMismatch {
        /// Where the answer differs from the type.
        reason: String,
    },
}

impl TurnError {
    /// The server's class of the failure.
    #[must_use]
    pub fn info(&self) -> Option<&CodexErrorInfo> {
        self.outcome.failure.as_ref()?.info.as_ref()
    }
}

impl fmt::Debug for TurnError {
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
            (TurnErrorKind::AnswerMismatch { reason }, _) => {
                write!(
                    f,
                    "the answer of the turn cannot be decoded: {}",
                    Shortened(reason)
                )
            }
        }
    }
}

impl std::error::Error for TurnError {}

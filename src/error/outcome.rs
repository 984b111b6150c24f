//! What a turn produced.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::{shortened::Shortened, usage::TokenUsage};
use crate::protocol::{CodexErrorInfo, ThreadItem, ThreadTokenUsage, TurnStatus};

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

//! What a turn produced.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::{shortened::Shortened, sub_agent::SubAgent, usage::TokenUsage};
use crate::protocol::{CodexErrorInfo, ThreadItem, ThreadTokenUsage, TurnStatus};

/// Everything that a turn produced.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TurnOutcome {
    /// The thread that the turn ran on.
    pub thread_id: String,
    /// The id of the turn.
    pub turn_id: String,
    /// How the turn ended. `InProgress` if its end was not seen.
    pub status: TurnStatus,
    /// The answer: the last message marked `final_answer`, else the last one without a mark. A message that the agent sent
    /// on the way (`delivery: "async"`) is not an answer. Empty if the turn has none: a turn that proposes a
    /// [plan](Self::plan) and says nothing else has none.
    pub text: String,
    /// Every step, in the order in which they began.
    pub items: Vec<Item>,
    /// The tokens that this turn used, without its sub-agents. `None` if the server reported none.
    pub usage: Option<TokenUsage>,
    /// The tokens that this turn, its sub-agents and their sub-agents used until its end.
    pub usage_with_agents: Option<TokenUsage>,
    /// The last report on the whole thread: its tokens so far, and the size of the model's context window.
    pub thread_usage: Option<ThreadTokenUsage>,
    /// The time from start to completion, as the server measured it.
    pub duration: Option<Duration>,
    /// Why the turn failed, if it did.
    pub failure: Option<TurnFailure>,
    /// Whether parts of this outcome come from the server's record and not from the turn's events:
    /// the server never sent the end of the turn, or this reader was too slow or too late for some
    /// events.
    pub recovered: bool,
    /// Whether the input joined a turn that was already running.
    pub joined: bool,
    /// The sub-agents that the turn has spawned or given work, and the sub-agents of those.
    /// Includes those that still run.
    pub agents: Vec<SubAgent>,
}

/// One step of a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Item {
    /// The item in its last known state.
    pub item: ThreadItem,
    /// Whether `item/completed` came. The server does not complete an item that an interrupt cuts
    /// off. Such an item is kept as last seen, with the text or output received so far.
    pub completed: bool,
}

/// The server's report of a failure. [`class`](Self::class) tells what it means.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct TurnFailure {
    /// The text for people.
    pub message: String,
    /// The class of the failure.
    pub info: Option<CodexErrorInfo>,
    /// More text, such as the cause of a retry.
    pub details: Option<String>,
    /// For a rate limit in the outcome of a turn, when it resets: the latest reset of the limits that are used up, as the
    /// server last reported it in `account/rateLimits/updated`. `None` if it did not.
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

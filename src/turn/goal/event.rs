//! What a reader of a goal is told, and how a goal ends.

use crate::{
    error::TurnOutcome,
    protocol::{ThreadGoal, ThreadGoalStatus},
    turn::event::TurnEvent,
};

/// What happens while a thread works towards a goal.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum GoalEvent {
    /// A turn of this id has begun: mostly by the goal, but whatever runs on the thread meanwhile belongs to it.
    /// [`Goal::turn`](crate::turn::Goal::turn) has it.
    TurnBegan(String),
    /// Something has happened in a turn. Its end is [`TurnEnded`](Self::TurnEnded).
    Turn {
        /// The turn.
        turn_id: String,
        /// What has happened.
        event: TurnEvent,
    },
    /// A turn has ended. The next one begins some milliseconds later, unless the goal has ended.
    TurnEnded(Box<TurnOutcome>),
    /// The server told of the goal: its status, its tokens, or its objective have changed.
    Updated(Box<ThreadGoal>),
    /// The goal is active, but nothing will run: its turn was interrupted, or the thread is in plan mode. It goes on with
    /// [`Goal::resume`](crate::turn::Goal::resume), or when any other turn has ended.
    Dormant,
    /// The end; nothing follows.
    Ended(Box<GoalOutcome>),
}

/// How a goal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoalState {
    /// The thread works on it, or is about to.
    Active,
    /// The server says that it is active, but nothing will run; see [`GoalEvent::Dormant`].
    Dormant,
    /// A client or the model has paused it.
    Paused,
    /// The model gave up, or a turn failed.
    Blocked,
    /// The account's limit is used up.
    UsageLimited,
    /// Its token budget is used up.
    BudgetLimited,
    /// The model says that it is reached.
    Complete,
    /// It was removed.
    Cleared,
    /// A state that is not in the schema.
    Other(String),
}

impl From<&ThreadGoalStatus> for GoalState {
    fn from(status: &ThreadGoalStatus) -> Self {
        match status {
            ThreadGoalStatus::Active => Self::Active,
            ThreadGoalStatus::Paused => Self::Paused,
            ThreadGoalStatus::Blocked => Self::Blocked,
            ThreadGoalStatus::UsageLimited => Self::UsageLimited,
            ThreadGoalStatus::BudgetLimited => Self::BudgetLimited,
            ThreadGoalStatus::Complete => Self::Complete,
            other => Self::Other(other.to_string()),
        }
    }
}

/// Why a goal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoalEnd {
    /// It is in this state, by the word of the model, the server or a client.
    State(GoalState),
    /// [`Goal::stop`](crate::turn::Goal::stop) was called.
    Stopped,
    /// As many turns have begun as [`SetGoal::max_turns`](crate::turn::SetGoal::max_turns) allows; the last one ran to its end.
    TurnLimit,
    /// More tokens were used than [`SetGoal::max_tokens`](crate::turn::SetGoal::max_tokens) allows; the turn was interrupted.
    TokenLimit,
    /// The time of [`SetGoal::max_time`](crate::turn::SetGoal::max_time) is up; the turn was interrupted.
    TimeLimit,
    /// Another goal has taken its place.
    Replaced,
    /// The thread was closed, archived or deleted.
    ThreadClosed,
}

/// All that a goal came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GoalOutcome {
    /// Why it ended.
    pub end: GoalEnd,
    /// The goal as the server told it last: its objective, status, tokens and time.
    pub goal: ThreadGoal,
    /// The last answer of the agent that was not empty.
    pub text: String,
    /// How many turns have ended while this goal was read.
    pub turns: u64,
    /// The last of them.
    pub last_turn: Option<TurnOutcome>,
}

impl GoalOutcome {
    /// Whether the model says that the goal is reached.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end == GoalEnd::State(GoalState::Complete)
    }
}

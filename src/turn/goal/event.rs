//! The events of a goal, and how a goal ends.

use crate::{
    error::TurnOutcome,
    protocol::{ThreadGoal, ThreadGoalStatus},
    turn::event::TurnEvent,
};

/// An event of a goal or of one of its turns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum GoalEvent {
    /// A turn with this id has begun. Usually the goal started it, but every turn that runs on the
    /// thread meanwhile belongs to the goal. [`Goal::turn`](crate::turn::Goal::turn) returns the
    /// turn.
    TurnStarted(String),
    /// An event of a turn. The end of a turn is [`TurnEnded`](Self::TurnEnded) instead.
    Turn {
        /// The id of the turn.
        turn_id: String,
        /// The event.
        event: TurnEvent,
    },
    /// A turn has ended. The next turn begins some milliseconds later, unless the goal has ended.
    TurnEnded(Box<TurnOutcome>),
    /// `thread/goal/updated`: the goal's status, tokens or objective have changed.
    Updated(Box<ThreadGoal>),
    /// The goal is active, but nothing will run: its turn was interrupted, or the thread is in plan
    /// mode. The goal goes on with [`Goal::resume`](crate::turn::Goal::resume), or when any other
    /// turn has ended.
    Dormant,
    /// The goal has ended. Nothing follows.
    Ended(Box<GoalOutcome>),
}

/// The state of a goal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoalState {
    /// The thread works on the goal, or is about to.
    Active,
    /// The server says that the goal is active, but nothing will run; see [`GoalEvent::Dormant`].
    Dormant,
    /// A client or the model has paused the goal.
    Paused,
    /// The model gave up, or a turn failed.
    Blocked,
    /// The account's limit is used up.
    UsageLimited,
    /// The goal's token budget is used up.
    BudgetLimited,
    /// The model says that the goal is reached.
    Complete,
    /// The goal was removed.
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
    /// The goal is in this state, as the model, the server or a client has said.
    State(GoalState),
    /// [`Goal::stop`](crate::turn::Goal::stop) was called.
    Stopped,
    /// As many turns have begun as [`SetGoal::max_turns`](crate::turn::SetGoal::max_turns) allows.
    /// The last turn ran to its end.
    TurnLimit,
    /// The goal used more tokens than [`SetGoal::max_tokens`](crate::turn::SetGoal::max_tokens)
    /// allows. The turn was interrupted.
    TokenLimit,
    /// The time of [`SetGoal::max_time`](crate::turn::SetGoal::max_time) is up. The turn was
    /// interrupted.
    TimeLimit,
    /// Another goal has replaced this one.
    Replaced,
    /// The thread was closed, archived or deleted.
    ThreadClosed,
}

/// The outcome of a goal.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GoalOutcome {
    /// Why the goal ended.
    pub end: GoalEnd,
    /// The goal as the server last reported it: its objective, status, tokens and time.
    pub goal: ThreadGoal,
    /// The last answer of the agent that was not empty.
    pub text: String,
    /// The number of turns that ended while this goal was read.
    pub turns: u64,
    /// The last of these turns.
    pub last_turn: Option<TurnOutcome>,
}

impl GoalOutcome {
    /// Whether the model says that the goal is reached.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end == GoalEnd::State(GoalState::Complete)
    }
}

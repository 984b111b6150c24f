//! `TurnEvent`: what the reader of a turn gets.

use std::time::Duration;

use crate::{
    error::{TurnFailure, TurnOutcome},
    events::Event,
    protocol::{MessagePhase, ThreadItem, ThreadTokenUsage, TurnPlanStep},
};

/// What happens in a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TurnEvent {
    /// `turn/started`: the server has begun to work on the turn.
    Started,
    /// `item/agentMessage/delta`: a piece of a message of the agent.
    Text {
        /// The message.
        item_id: String,
        /// Whether the message is the answer or a remark on the way to it. `None` if the server does not say.
        phase: Option<MessagePhase>,
        /// The piece.
        delta: String,
    },
    /// `item/reasoning/summaryTextDelta` and `item/reasoning/textDelta`: a piece of the agent's reasoning.
    Reasoning {
        /// The item.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// `item/commandExecution/outputDelta`: a piece of a command's output.
    CommandOutput {
        /// The command.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// `item/plan/delta`: a piece of the text of a plan, in plan mode.
    PlanDelta {
        /// The plan.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// `turn/plan/updated`: the agent's list of steps, whole.
    Plan {
        /// Why the plan was changed.
        explanation: Option<String>,
        /// The steps, each with its status.
        steps: Vec<TurnPlanStep>,
    },
    /// `turn/diff/updated`: all changes of files of the turn so far, as a unified diff.
    Diff(String),
    /// `item/started`: a step has begun: a command, a change of files, a tool call, a message.
    ItemStarted(Box<ThreadItem>),
    /// `item/completed`: a step has ended.
    ItemCompleted(Box<ThreadItem>),
    /// `thread/tokenUsage/updated`: the tokens used by the last response and by the thread in its life.
    Usage(Box<ThreadTokenUsage>),
    /// `error` that is retried: the server is trying again. This is progress, not an end.
    Retrying(TurnFailure),
    /// So many events were dropped here because this stream was read too slowly. The outcome is whole all the same.
    Lagged(u64),
    /// No event for this long; the server says the turn is still running, or can't be asked. See
    /// [`Ask::idle_check`](crate::turn::Ask::idle_check).
    Idle(Duration),
    /// Any other event of the turn, or of its thread.
    Other(Event),
    /// `turn/completed`: the end. Nothing follows.
    Completed(Box<TurnOutcome>),
}

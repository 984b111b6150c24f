//! `TurnEvent`: the events of a turn, as its reader gets them.

use std::time::Duration;

use crate::{
    error::{SubAgent, TurnFailure, TurnOutcome},
    events::Event,
    protocol::{MessagePhase, ThreadItem, ThreadTokenUsage, TurnPlanStep},
};

/// An event of a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TurnEvent {
    /// `turn/started`: the server has begun to work on the turn.
    Started,
    /// `item/agentMessage/delta`: a piece of a message of the agent.
    Text {
        /// The id of the message.
        item_id: String,
        /// Whether the message is the answer, or a remark on the way to the answer. `None` if the
        /// server does not say.
        phase: Option<MessagePhase>,
        /// The piece.
        delta: String,
    },
    /// `item/reasoning/summaryTextDelta` and `item/reasoning/textDelta`: a piece of the agent's
    /// reasoning.
    Reasoning {
        /// The id of the item.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// `item/commandExecution/outputDelta`: a piece of a command's output.
    CommandOutput {
        /// The id of the command's item.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// `item/plan/delta`: a piece of the text of a plan, in plan mode.
    PlanDelta {
        /// The id of the plan's item.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// `turn/plan/updated`: the agent's whole list of steps.
    Plan {
        /// Why the plan was changed.
        explanation: Option<String>,
        /// The steps, each with its status.
        steps: Vec<TurnPlanStep>,
    },
    /// A sub-agent that the turn has spawned or given work, or that one of those has spawned; once
    /// for each, when its name is known. [`Turn::agents`](crate::Turn::agents) has its later
    /// status. The events of the sub-agent are not among those of the turn.
    Agent(Box<SubAgent>),
    /// `turn/diff/updated`: all file changes of the turn so far, as a unified diff.
    Diff(String),
    /// `item/started`: a step has begun: a command, a file change, a tool call, a message.
    ItemStarted(Box<ThreadItem>),
    /// `item/completed`: a step has ended.
    ItemCompleted(Box<ThreadItem>),
    /// `thread/tokenUsage/updated`: the tokens used by the last response, and by the thread in
    /// total.
    Usage(Box<ThreadTokenUsage>),
    /// `error` that is retried: the server is trying again. This is progress, not the end.
    Retrying(TurnFailure),
    /// This many events were dropped here because the stream was read too slowly. The outcome is
    /// still complete.
    Lagged(u64),
    /// No event for this long; the server says the turn is still running, or can't be asked. See
    /// [`Ask::idle_check`](crate::turn::Ask::idle_check).
    Idle(Duration),
    /// Any other event of the turn, or of its thread.
    Other(Event),
    /// `turn/completed`: the end. Nothing follows.
    Completed(Box<TurnOutcome>),
}

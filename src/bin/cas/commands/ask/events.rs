//! What `cas ask --json` emits besides [notes](super::notes::Note), one object per line.
//! `docs/json.md` shows each.

use cas_sdk::{
    TurnEvent,
    protocol::{ThreadItem, ThreadTokenUsage, TurnPlanStep},
    turn::TokenUsage,
};
use serde::Serialize;

/// The version of these events; a change that breaks readers raises it.
const VERSION: u32 = 1;

#[derive(Debug, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(in crate::commands) enum Line<'a> {
    /// The turn was accepted.
    Started {
        v: u32,
        thread_id: &'a str,
        turn_id: &'a str,
    },
    /// A piece of a message.
    Text {
        item_id: &'a str,
        delta: &'a str,
    },
    Reasoning {
        item_id: &'a str,
        delta: &'a str,
    },
    /// A piece of what a command prints.
    CommandOutput {
        item_id: &'a str,
        delta: &'a str,
    },
    /// A piece of the plan that is proposed in plan mode.
    PlanDelta {
        item_id: &'a str,
        delta: &'a str,
    },
    /// The steps that the agent means to take.
    Plan {
        explanation: Option<&'a str>,
        steps: &'a [TurnPlanStep],
    },
    /// A sub-agent was given work.
    Agent {
        thread_id: &'a str,
        name: Option<&'a str>,
    },
    /// All changes of files so far.
    Diff {
        diff: &'a str,
    },
    ItemStarted {
        item: &'a ThreadItem,
    },
    ItemCompleted {
        item: &'a ThreadItem,
    },
    Usage {
        usage: &'a ThreadTokenUsage,
    },
    /// Something failed, and the server tries again.
    Retrying {
        message: &'a str,
    },
    /// Pieces were dropped, because they were read too slowly.
    Lagged {
        skipped: u64,
    },
}

impl<'a> Line<'a> {
    pub(super) fn started(thread_id: &'a str, turn_id: &'a str) -> Self {
        Self::Started {
            v: VERSION,
            thread_id,
            turn_id,
        }
    }

    pub(in crate::commands) fn of(event: &'a TurnEvent) -> Option<Self> {
        Some(match event {
            TurnEvent::Text { item_id, delta, .. } => Self::Text { item_id, delta },
            TurnEvent::Reasoning { item_id, delta } => Self::Reasoning { item_id, delta },
            TurnEvent::CommandOutput { item_id, delta } => Self::CommandOutput { item_id, delta },
            TurnEvent::PlanDelta { item_id, delta } => Self::PlanDelta { item_id, delta },
            TurnEvent::Plan { explanation, steps } => Self::Plan {
                explanation: explanation.as_deref(),
                steps,
            },
            TurnEvent::Agent(agent) => Self::Agent {
                thread_id: &agent.thread_id,
                name: agent.nickname.as_deref(),
            },
            TurnEvent::Diff(diff) => Self::Diff { diff },
            TurnEvent::ItemStarted(item) => Self::ItemStarted { item },
            TurnEvent::ItemCompleted(item) => Self::ItemCompleted { item },
            TurnEvent::Usage(usage) => Self::Usage { usage },
            TurnEvent::Retrying(failure) => Self::Retrying {
                message: &failure.message,
            },
            TurnEvent::Lagged(skipped) => Self::Lagged { skipped: *skipped },
            _ => return None,
        })
    }
}

/// The last line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "completed", rename_all = "camelCase")]
pub(super) struct Ended {
    pub(super) thread_id: String,
    pub(super) turn_id: String,
    /// `completed`, `failed`, `interrupted` or `timedOut`.
    pub(super) status: &'static str,
    pub(super) text: String,
    /// The plan that was proposed in plan mode.
    pub(super) plan: Option<String>,
    pub(super) error: Option<String>,
    /// How many requests for approval were declined.
    pub(super) declined: usize,
    pub(super) usage: Option<Usage>,
    pub(super) duration_ms: Option<u64>,
    pub(super) exit_status: u8,
}

/// The last line of a goal.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "goalEnded", rename_all = "camelCase")]
pub(super) struct GoalEnded {
    pub(super) thread_id: String,
    /// A status of the protocol, or another reason, in the words of `cas goal`.
    pub(super) end: String,
    pub(super) complete: bool,
    pub(super) turns: u64,
    pub(super) text: String,
    pub(super) tokens_used: i64,
    pub(super) declined: usize,
    pub(super) error: Option<String>,
    pub(super) exit_status: u8,
}

/// The tokens of the turn.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::struct_field_names,
    reason = "they are named as the protocol names them"
)]
pub(super) struct Usage {
    total_tokens: u64,
    pub(super) input_tokens: u64,
    cached_input_tokens: u64,
    pub(super) output_tokens: u64,
    reasoning_output_tokens: u64,
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        Self {
            total_tokens: usage.total,
            input_tokens: usage.input,
            cached_input_tokens: usage.cached_input,
            output_tokens: usage.output,
            reasoning_output_tokens: usage.reasoning_output,
        }
    }
}

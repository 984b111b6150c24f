//! Turns: starting them, reading their events and outcomes, steering and interrupting them.

mod agents;
pub(crate) mod by_id;
mod check;
mod collect;
mod compact;
mod control;
mod deadline;
mod deliver;
mod event;
mod find_message;
mod goal;
mod item;
#[cfg(feature = "ws")]
mod joined;
mod message;
mod message_id;
mod message_record;
mod mode;
mod naming;
mod pending;
mod plan;
mod poll;
mod progress;
mod queue;
mod reader;
mod reconcile;
mod review;
mod send;
mod start;
pub(crate) mod strict_schema;
mod structured;
mod sync_future;
pub mod terminal;
mod watchdog;

pub use crate::client::tracker::StartedBy;
pub use crate::error::{
    Item, SubAgent, SubAgentStatus, TokenUsage, TurnError, TurnErrorKind, TurnFailure, TurnOutcome,
};
pub use by_id::Turns;
pub use compact::Compact;
pub use control::TurnControl;
pub use deadline::Deadline;
pub use deliver::Receipt;
pub use event::TurnEvent;
pub use find_message::MessageState;
pub use goal::{Goal, GoalEnd, GoalEvent, GoalOutcome, GoalState, SetGoal};
pub use message::Message;
pub use plan::Plan;
pub use queue::{QueueState, Queued};
pub use reader::Turn;
pub use review::{
    Correctness, Finding, Findings, Location, Review, ReviewOutcome, Reviewed, StartReview, Verdict,
};
pub use send::SendOutcome;
pub use start::Ask;
pub use structured::{StructuredAsk, StructuredTurn};

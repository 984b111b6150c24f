//! Turns: how one is asked for, its events as they come, its outcome, and the means to steer and to interrupt it.

mod check;
mod collect;
mod control;
mod deadline;
mod event;
mod item;
mod pending;
mod poll;
mod progress;
mod reader;
mod reconcile;
mod send;
mod start;
pub(crate) mod strict_schema;
mod structured;
pub mod terminal;
mod watchdog;

pub use crate::error::{Item, TokenUsage, TurnError, TurnErrorKind, TurnFailure, TurnOutcome};
pub use control::TurnControl;
pub use deadline::Deadline;
pub use event::TurnEvent;
pub use reader::Turn;
pub use send::SendOutcome;
pub use start::Ask;
pub use structured::{StructuredAsk, StructuredTurn};

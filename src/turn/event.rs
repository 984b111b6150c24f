//! What a reader of a turn is told.

use std::time::Duration;

use super::{TurnFailure, TurnOutcome};
use crate::{
    Event,
    protocol::{ThreadItem, ThreadTokenUsage},
};

/// What happens in a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TurnEvent {
    /// The server has begun to work on it.
    Started,
    /// A piece of the agent's message.
    Text(String),
    /// A piece of what the agent says of its reasoning.
    Reasoning(String),
    /// A step has begun: a command, a file change, a tool call, a message.
    ItemStarted(Box<ThreadItem>),
    /// A step has ended.
    ItemCompleted(Box<ThreadItem>),
    /// The tokens used so far, by the last response and by the thread in its life.
    Usage(Box<ThreadTokenUsage>),
    /// Something failed and the server is trying again; this is progress, not an end.
    Retrying(TurnFailure),
    /// Pieces were dropped here because this stream was read too slowly. The outcome is whole all the same.
    Lagged(u64),
    /// Nothing has come for so long, though the turn goes on, as far as the server can be asked. See
    /// [`Ask::silence`](crate::Ask::silence).
    Silent(Duration),
    /// Any other event of the turn, or of its thread.
    Other(Event),
    /// The end; nothing follows.
    Completed(Box<TurnOutcome>),
}

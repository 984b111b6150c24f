//! The ids that the constructors of params take. The id of a turn can't be passed as that of a
//! thread.

use serde::{Deserialize, Serialize};

use super::{
    macros::{string_newtype, strings},
    serde::structs,
};

/// The id of a thread: from its text, or from a [`Thread`](crate::Thread).
///
/// ```
/// # use cas_sdk::{Thread, Turn, protocol::{TurnSteerParams, UserInput}};
/// fn steer(thread: &Thread, turn: &Turn, input: Vec<UserInput>) -> TurnSteerParams {
///     TurnSteerParams::new(thread, turn, input)
/// }
/// ```
///
/// A turn can't stand in for a thread:
///
/// ```compile_fail,E0277
/// # use cas_sdk::{Thread, Turn, protocol::{TurnSteerParams, UserInput}};
/// # fn steer(thread: &Thread, turn: &Turn, input: Vec<UserInput>) -> TurnSteerParams {
/// TurnSteerParams::new(turn, thread, input)
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct ThreadId(pub String);
string_newtype!(ThreadId);

/// The id of a turn: from its text, or from a [`Turn`](crate::Turn).
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct TurnId(pub String);
string_newtype!(TurnId);

impl From<&String> for ThreadId {
    fn from(id: &String) -> Self {
        Self(id.clone())
    }
}

impl From<&String> for TurnId {
    fn from(id: &String) -> Self {
        Self(id.clone())
    }
}

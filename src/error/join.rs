//! Why a thread can't be joined.

use std::fmt;

/// Why an existing thread can't be joined; see [`Error::NotJoinable`](super::Error::NotJoinable).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JoinRefusal {
    /// The thread has had no turn yet. It takes its first turn from any client, by `turn/start` or
    /// its queue, and can be joined from then on.
    NoTurnsYet,
    /// The thread is ephemeral: the server keeps no record of it to take a snapshot from.
    Ephemeral,
}

impl fmt::Display for JoinRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTurnsYet => {
                "has had no turn yet, so it can be driven but not joined: send it a turn first, by `turn/start` or its queue"
            }
            Self::Ephemeral => {
                "is ephemeral, so it can be driven but not joined: the server keeps no record of it"
            }
        })
    }
}

//! How far a turn has progressed.

use crate::protocol::TurnStatus;

/// How far a turn has progressed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// The server has accepted the turn, and would refuse an interrupt that names it.
    Accepted,
    /// `turn/started` has come.
    Started,
    /// The turn has ended with this status.
    Ended(TurnStatus),
    /// The thread or the connection is gone.
    Lost,
}

impl Phase {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Lost)
    }
}

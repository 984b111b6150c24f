//! When a server is started again, and when it is given up.

use std::time::Duration;

use crate::client::backoff::Backoff;

/// When a [`Supervisor`](crate::Supervisor) starts the server again, and when it gives up.
///
/// Default: it gives up after 5 failures in a row; the pauses begin with 200 ms and double up to 30 s, each shortened by
/// up to half at random; a server that has run for a minute ends the row.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Restart {
    pub(super) attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) steady: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            attempts: 5,
            backoff: Backoff {
                first: Duration::from_millis(200),
                longest: Duration::from_secs(30),
            },
            steady: Duration::from_secs(60),
        }
    }
}

impl Restart {
    /// How often in a row the server is started again before it is given up.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The pause before the first start of a row, and the longest one; in between it doubles.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// How long a server has to run for its next end to be the first of a row.
    pub fn steady(mut self, after: Duration) -> Self {
        self.steady = after;
        self
    }
}

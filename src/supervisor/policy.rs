//! `Restart`: the policy of restarts and reconnections.

use std::time::Duration;

use crate::client::backoff::Backoff;

/// When a [`Supervisor`](crate::Supervisor) restarts a server or connects to it again, and when it
/// gives up.
///
/// By default it gives up after 5 attempts in a row. Pauses start at 200 ms and double up to 30 s,
/// each shortened by up to half at random. A server that has run for a minute resets the count.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Restart {
    pub(super) attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) reset_after: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            attempts: 5,
            backoff: Backoff {
                first: Duration::from_millis(200),
                longest: Duration::from_secs(30),
            },
            reset_after: Duration::from_secs(60),
        }
    }
}

impl Restart {
    /// Sets after how many attempts in a row the supervisor gives up.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the pause before the first attempt, and the longest pause. The pauses in between
    /// double.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// Sets how long a server has to run to reset the count of attempts.
    pub fn reset_after(mut self, after: Duration) -> Self {
        self.reset_after = after;
        self
    }
}

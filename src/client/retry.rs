//! When a request is retried.

use std::time::Duration;

use crate::client::backoff::Backoff;

/// How often, and after which pauses, something is retried: a request that the server was too busy
/// to take ([`Request::retry`](crate::Request::retry)), or a failed start
/// ([`Builder::retry_start`](crate::Builder::retry_start)).
///
/// Default: up to 5 retries, the first after 100 ms, each further one after a pause twice as long,
/// up to 5 s. Each pause is shortened by up to half at random.
///
/// ```no_run
/// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
/// use cas_sdk::{Retry, protocol::ModelListParams};
/// let models = client.request(ModelListParams::default()).retry(Retry::times(3)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Retry {
    times: u32,
    backoff: Backoff,
}

impl Default for Retry {
    fn default() -> Self {
        Self::times(5)
    }
}

impl Retry {
    /// Retries up to `times` times, not counting the first attempt.
    pub fn times(times: u32) -> Self {
        Self {
            times,
            backoff: Backoff {
                first: Duration::from_millis(100),
                longest: Duration::from_secs(5),
            },
        }
    }

    /// Sets the pause before the first retry and the longest pause. The pauses in between double.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// Returns the pauses, one before each retry.
    pub fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let policy = *self;
        (0..policy.times).filter_map(move |retries| policy.pause(retries))
    }

    /// The pause after `retries` retries; `None` if no further retry is allowed.
    pub(crate) fn pause(&self, retries: u32) -> Option<Duration> {
        (retries < self.times).then(|| self.backoff.pause(retries))
    }
}

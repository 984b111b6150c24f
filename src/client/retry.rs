//! When a request is made again.

use std::time::Duration;

use crate::client::backoff::Backoff;

/// How often, and after which pauses, a request is made again that the server was too busy to take, see
/// [`Request::retry`](crate::Request::retry), or a start that was too slow or lost its home to another one, see
/// [`Builder::retry_start`](crate::Builder::retry_start).
///
/// Default: up to 5 times, after 100 ms and then twice as long each time, up to 5 s; each pause is shortened by up to
/// half at random.
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
    /// Up to so many times, the first attempt not counted.
    pub fn times(times: u32) -> Self {
        Self {
            times,
            backoff: Backoff {
                first: Duration::from_millis(100),
                longest: Duration::from_secs(5),
            },
        }
    }

    /// The pause before the first retry, and the longest one; in between it doubles.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// The pauses, one before each retry.
    pub fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let policy = *self;
        (0..policy.times).filter_map(move |retries| policy.pause(retries))
    }

    /// The pause after so many retries; `None` if there are to be no more.
    pub(crate) fn pause(&self, retries: u32) -> Option<Duration> {
        (retries < self.times).then(|| self.backoff.pause(retries))
    }
}

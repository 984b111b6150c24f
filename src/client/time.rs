//! Deadlines that any duration makes.

use std::time::Duration;

use tokio::time::Instant;

/// The instant after so long; one that nobody lives to see for what is longer than the clock goes.
pub(crate) fn deadline(after: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    let now = Instant::now();
    now.checked_add(after).unwrap_or_else(|| now + NEVER)
}

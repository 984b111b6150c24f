//! Deadlines that accept any duration.

use std::time::Duration;

use tokio::time::Instant;

/// The instant `after` from now. For a duration beyond the range of the clock, an instant in the
/// distant future.
pub(crate) fn deadline(after: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    let now = Instant::now();
    now.checked_add(after).unwrap_or_else(|| now + NEVER)
}

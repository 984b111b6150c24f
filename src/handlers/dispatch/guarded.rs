//! Runs foreign code under guard: catches its panics, and may limit its time.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::timeout;

/// Why foreign code gave no answer.
pub(super) enum HandlerAbort {
    TimedOut,
    Panicked,
}

/// Runs foreign code to its answer.
pub(super) async fn guarded<T: Send>(
    limit: Option<Duration>,
    run: impl Future<Output = T> + Send,
) -> Result<T, HandlerAbort> {
    let run = AssertUnwindSafe(run).catch_unwind();
    let ended = match limit {
        None => run.await,
        Some(limit) => timeout(limit, run)
            .await
            .map_err(|_| HandlerAbort::TimedOut)?,
    };
    ended.map_err(|_| HandlerAbort::Panicked)
}

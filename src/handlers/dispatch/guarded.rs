//! Foreign code under guard: its panics are caught, and it may have a time limit.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::timeout;

/// How foreign code ended that has said nothing.
pub(super) enum Cut {
    Late,
    Panicked,
}

/// What foreign code says.
pub(super) async fn guarded<T: Send>(
    limit: Option<Duration>,
    run: impl Future<Output = T> + Send,
) -> Result<T, Cut> {
    let mut said = None;
    within(limit, Box::pin(async { said = Some(run.await) })).await?;
    said.ok_or(Cut::Panicked)
}

/// Not generic, so that it is compiled once and not for each kind of answer.
async fn within(limit: Option<Duration>, run: BoxFuture<'_, ()>) -> Result<(), Cut> {
    let run = AssertUnwindSafe(run).catch_unwind();
    let ended = match limit {
        None => run.await,
        Some(limit) => timeout(limit, run).await.map_err(|_| Cut::Late)?,
    };
    ended.map_err(|_| Cut::Panicked)
}

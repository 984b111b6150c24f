//! Waits for the outcome of a turn and for the end of its output.

use cas_sdk::{Error, TurnOutcome};
use tokio::time::timeout;

use super::LAST_WORDS;
use crate::output::Result;

/// Waits for the outcome, and until everything that belongs to it has been shown. An error while
/// showing it ends both.
pub(super) async fn both(
    work: impl Future<Output = Result<TurnOutcome, Error>>,
    shown: impl Future<Output = Result>,
) -> Result<Result<TurnOutcome, Error>> {
    let (mut work, mut shown) = (std::pin::pin!(work), std::pin::pin!(shown));
    let mut all_shown = false;
    loop {
        tokio::select! {
            outcome = &mut work => {
                match &outcome {
                    _ if all_shown => {}
                    // Its events have an end too, however slow they are read.
                    Ok(done) if !done.recovered => shown.await?,
                    // They may have none.
                    Ok(_) | Err(_) => {
                        let _ = timeout(LAST_WORDS, shown).await;
                    }
                }
                return Ok(outcome);
            }
            done = &mut shown, if !all_shown => {
                done?;
                all_shown = true;
            }
        }
    }
}

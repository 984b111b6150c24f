//! `codex_or_skip()`: skips a test loudly where no codex is available, except in CI.

use std::{
    env,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tokio::sync::OnceCell;

use super::{fetch::codex, note::announce, version::FetchError};

/// The codex binary, or `None` after a note on stderr that the calling test is skipped and why.
///
/// Tests that need codex begin with it:
///
/// ```no_run
/// # async fn a_test() {
/// let Some(codex) = cas_sdk::testing::codex_or_skip().await else { return };
/// # let _ = codex;
/// # }
/// ```
///
/// The note bypasses the test harness, which captures the output of tests that pass.
///
/// # Panics
///
/// Where a skipped test would hide a fault: if `$CI` is `true` or `1`, or if the binary exists but
/// does not work (a wrong `$CAS_TEST_CODEX`).
pub async fn codex_or_skip() -> Option<PathBuf> {
    // Remembered, so that a hundred tests do not wait a hundred times for a missing network.
    static FOUND: OnceCell<Result<PathBuf, FetchError>> = OnceCell::const_new();
    // The output of npm is long; once is enough.
    static TOLD: AtomicBool = AtomicBool::new(false);
    let error = match FOUND.get_or_init(codex).await {
        Ok(path) => return Some(path.clone()),
        Err(error) => error,
    };
    let reason = crate::handlers::with_sources(error);
    assert!(!matches!(error, FetchError::Unusable { .. }), "{reason}");
    let ci = env::var("CI").unwrap_or_default();
    assert!(
        !counts_as_true(&ci),
        "CI={ci}, so this test must not be skipped: {reason}"
    );
    // The test harness names the thread after the test.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let again = TOLD.swap(true, Ordering::Relaxed);
    let reason = if again {
        "same reason as above"
    } else {
        &reason
    };
    announce(&format!("SKIPPED {test}: no codex to test with: {reason}"));
    None
}

fn counts_as_true(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

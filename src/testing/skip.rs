//! `codex_or_skip()`: skips a test loudly where there can be no codex, except in CI.

use std::{
    env,
    error::Error,
    io::Write as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tokio::sync::OnceCell;

use super::fetch::{FetchError, codex};

/// The codex binary, or `None` and a loud note on stderr that the calling test is skipped, and why.
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
/// The note goes around the test harness, which captures the output of tests that pass.
///
/// # Panics
///
/// Where skipping would hide a fault: if `CI` is `true` or `1`, or if the binary is there but does not work
/// (a wrong `$CAS_TEST_CODEX`).
pub async fn codex_or_skip() -> Option<PathBuf> {
    // Remembered, so that a hundred tests don't wait a hundred times for a network that isn't there.
    static FOUND: OnceCell<Result<PathBuf, FetchError>> = OnceCell::const_new();
    // What npm says is long; once is enough.
    static TOLD: AtomicBool = AtomicBool::new(false);
    let error = match FOUND.get_or_init(codex).await {
        Ok(path) => return Some(path.clone()),
        Err(error) => error,
    };
    let reason = with_sources(error);
    assert!(!matches!(error, FetchError::Unusable { .. }), "{reason}");
    let ci = env::var("CI").unwrap_or_default();
    assert!(
        !counts_as_true(&ci),
        "CI={ci}, so this test must not be skipped: {reason}"
    );
    // The test harness names the thread after the test.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let again = TOLD.swap(true, Ordering::Relaxed);
    let reason = if again { "as told above" } else { &reason };
    announce(&format!("SKIPPED {test}: no codex to test with: {reason}"));
    None
}

/// Writes a line to the process's stderr, which `eprintln!` does not do in tests.
pub(super) fn announce(text: &str) {
    let line = format!("cas-sdk: {text}\n");
    if cfg!(test) {
        // This crate's own unit tests play fetches that nobody must take for real ones.
        eprint!("{line}");
    } else {
        // One write, so that the lines of several tests don't mix. Nobody is there to be told of a closed
        // stderr.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

fn counts_as_true(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

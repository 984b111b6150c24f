//! Notes on stderr that the test harness does not capture.

use std::io::Write as _;

/// Writes a line to the stderr of the process. In tests, `eprintln!` does not.
pub(super) fn announce(text: &str) {
    let line = format!("cas-sdk: {text}\n");
    if cfg!(test) {
        // This crate's own unit tests play fetches that must not be mistaken for real ones.
        eprint!("{line}");
    } else {
        // One write, so that the lines of several tests do not mix. A closed stderr cannot be
        // reported.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

//! The crate builds unchanged against the schemas of other codex versions.

use std::process::Command;

#[test]
#[ignore = "fetches seven codex versions through npm and builds the crate for each"]
fn the_crate_builds_against_codex_versions_of_the_last_months() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/check-versions.sh");
    let status = Command::new(script).status().expect("the script runs");
    assert!(status.success(), "{script} failed: {status}");
}

//! The crate builds, without a change of code, against the schemas of older codex versions.

use std::process::Command;

#[test]
#[ignore = "fetches three codex versions through npm and builds the crate for each"]
fn the_crate_builds_against_codex_versions_of_the_last_months() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/check-versions.sh");
    let status = Command::new(script)
        .args(["0.150.0", "0.160.0", "0.165.0"])
        .status()
        .expect("the script runs");
    assert!(status.success(), "{script} failed: {status}");
}

//! Runs the tests of a binary a second time, with the frames of a WebSocket between client and
//! server.

use std::process::Command;

/// Starts this test binary again. `skip` are the tests that are about pipes, and the one that calls
/// this.
pub(super) fn again(skip: &[&str]) {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.env("CAS_TEST_TRANSPORT", "websocket");
    for name in skip {
        tests.args(["--skip", name]);
    }
    let output = tests.output().expect("it can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    let ran = told
        .lines()
        .filter(|line| line.ends_with(" ... ok"))
        .count();
    assert!(ran > 10, "{ran} tests ran: {told}");
}

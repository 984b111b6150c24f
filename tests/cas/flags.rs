//! The command line: what is refused, and that nothing is started then.

use std::process::{Command, Output};

fn cas(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cas"))
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn unknown_flags_and_bad_values_are_one_line_on_stderr_and_exit_2() {
    for (args, told) in [
        (&["proxy", "--fly"][..], "--fly"),
        (&["proxy", "--exec-approval", "maybe"], "maybe"),
        (&["proxy", "--skill-approval", "accept"], "accept"),
        (&["proxy", "--heartbeat-ms", "often"], "often"),
        (&["proxy", "--max-out-queue", "-1"], "-1"),
        (&["proxy", "--cwd"], "--cwd"),
        (&["proxy", "stray"], "stray"),
        (&["--color", "never", "proxy", "--fly"], "--fly"),
        (&["--log-format=json", "smoke_check"], "--cwd"),
        (&["instance-runner", "--instances", "3"], "--cwd"),
        (&["smoke_check"], "--cwd"),
        (
            &["instance-runner", "--cwd", ".", "--instances", "0"],
            "positive",
        ),
    ] {
        let out = cas(args);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
        assert!(stderr.contains(told), "{args:?}: {stderr}");
        assert!(out.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn people_are_told_all_that_clap_knows_of_their_mistake() {
    for (args, told) in [
        (
            &["theads"][..],
            &["unrecognized subcommand 'theads'", "'threads'", "Usage:"][..],
        ),
        (
            &["ask", "- item"],
            &["tip: to pass '- ' as a value", "Usage:"],
        ),
        (&["ask", "--mdoel", "x"], &["'--model'"]),
        (&[], &["Usage:", "Commands:", "Exit status:"]),
    ] {
        let out = cas(args);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(
            told.iter().all(|told| stderr.contains(told)),
            "{args:?}: {stderr}"
        );
        assert!(out.stdout.is_empty(), "{args:?}");
    }
    let out = cas(&["instance-runner", "--cwd", ".", "--instances", "-1"]);
    assert!(
        String::from_utf8(out.stderr)
            .unwrap()
            .contains("a positive number")
    );
}

/// As those of a variable that is not set.
#[test]
fn names_and_texts_in_which_there_is_nothing_are_refused() {
    for args in [
        &["attach", ""][..],
        &["watch", ""],
        &["watch", " ", "--json"],
        &["threads", "show", ""],
        &["threads", "name", "019a", ""],
        &["threads", "list", "--search", ""],
        &["mine", "--out", "/dev/null", "--search-term", ""],
        &["mine", "search", "", "--sqlite", "/dev/null"],
        &["ask", "--thread", "", "go"],
        &["ask", "--model", "", "go"],
        &["ask", "--json", ""],
        &["steer", "", "turn", "text"],
        &["steer", "019a", "", "text"],
        &["steer", "019a", "turn", ""],
        &["steer", "019a", "turn", "-", "--json"],
        &["post", "", "text"],
        &["post", "019a", "-", "--json"],
        &["goal", "get", "", "--json"],
        &["goal", "set", "019a", "", "--json"],
        &["goal", "set", "019a", "-"],
        &["review", "--base", "", "--json"],
        &["login", "--api-key", "--json"],
        &["smoke-check", "--cwd", ".", "--thread-id", ""],
    ] {
        refused(args);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_started() {
    for args in [
        &["threads", "delete", "019a", "--json"][..],
        &["ask", "--fork", "go"],
        &["ask", "--grace", "5s", "go"],
        &["ask", "--connect", "unix://", "--add-dir", ".", "go"],
    ] {
        refused(args);
    }
}

/// Checks that the flags are told to be wrong, and that no server is started before: there is none.
fn refused(args: &[&str]) {
    let out = Command::new(env!("CARGO_BIN_EXE_cas"))
        .args(args)
        .env("CAS_CODEX", "/no/such/codex")
        .env("CODEX_HOME", "/no/such/home")
        .output()
        .unwrap();
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(!stderr.contains("/no/such"), "{args:?}: {stderr}");
    assert!(out.stdout.is_empty(), "{args:?}");
}

#[test]
fn help_that_can_not_be_written_is_a_failure() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    let status = command
        .arg("--help")
        .stdout(full)
        .stderr(std::process::Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
}

/// The shell function of the cas skill looks for these words before it uses a binary.
#[test]
fn the_help_tells_shell_functions_that_look_for_the_original_that_this_is_compatible() {
    for (args, marker) in [
        (&["--help"][..], "cas.zig"),
        (&["smoke_check", "--help"], "cas_smoke_check.zig"),
        (&["instance_runner", "--help"], "cas_instance_runner.zig"),
    ] {
        let out = cas(args);
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success() && text.contains(marker), "{text}");
    }
}

#[test]
fn a_codex_that_is_not_there_is_an_error_event_and_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state.json");
    let out = cas(&[
        "proxy",
        "--codex",
        "/no/such/codex",
        "--state-file",
        state.to_str().unwrap(),
        "--registry",
        dir.path().join("registry").to_str().unwrap(),
    ]);
    let events = String::from_utf8(out.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(last["type"], "cas/error");
    assert!(
        last["error"]
            .as_str()
            .unwrap()
            .contains("/no/such/codex of --codex"),
        "{last}"
    );
}

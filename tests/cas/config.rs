//! The flags of the configuration file, beside those that are typed.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use crate::{
    fake,
    people::{stderr, stdout},
};

/// Runs a command with a configuration file, on a server without a thread.
fn with(config: &str, args: &[&str]) -> (Output, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cas.toml");
    fs::write(&path, config).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_cas"))
        .args(args)
        .env("CAS_CODEX", fake::executable(dir.path(), ""))
        .env("CAS_CONFIG", &path)
        .env("HOME", dir.path())
        .env("FAKE_ANSWERS", r#"{"thread/list": {"data": []}}"#)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (out, path.display().to_string())
}

#[test]
fn flags_of_the_file_that_exclude_what_is_typed_are_left_out() {
    for (config, args, status, told) in [
        (
            "markdown = true",
            &["ask", "--json", ""][..],
            2,
            "nothing to ask",
        ),
        (
            "ephemeral = true",
            &["ask", "--last", "go"],
            1,
            "no thread is stored",
        ),
        ("fork = true", &["ask", ""], 2, "nothing to ask"),
        ("token-file = \"token\"", &["threads", "list"], 0, ""),
        (
            "every = \"5s\"",
            &["live", "--connect", "unix:///no/such"],
            1,
            "no server",
        ),
    ] {
        let (out, _) = with(config, args);
        let said = stderr(&out);
        assert_eq!(out.status.code(), Some(status), "{config}: {said}");
        assert!(said.contains(told), "{config}: {said}");
    }
}

#[test]
fn an_error_that_comes_from_the_file_names_it() {
    for (config, args) in [
        ("sandbox = \"nope\"", &["ask", "go"][..]),
        ("ephemeral = true\nlast = true", &["ask", "go"]),
        ("timeout = \"soon\"", &["ask", "go", "--json"]),
        // This one is found out by the command.
        ("schema = \"no.json\"", &["ask", "go", "--json"]),
    ] {
        let (out, path) = with(config, args);
        assert_eq!(out.status.code(), Some(2), "{config}: {}", stderr(&out));
        assert!(stderr(&out).contains(&path), "{config}: {}", stderr(&out));
        assert_eq!(stdout(&out), "", "{config}");
    }
    let (out, path) = with("model = \"m\"", &["ask", "--fly"]);
    assert!(!stderr(&out).contains(&path), "{}", stderr(&out));
}

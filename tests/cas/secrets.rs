//! Secrets that the command line is given: they are not repeated, and nobody inherits them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::{fake, people::stderr};

const SECRET: &str = "s3cret";

fn cas(args: &[&str], env: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command.args(args).envs(env.iter().copied());
    command.output().unwrap()
}

#[test]
fn no_value_that_may_hold_a_secret_is_repeated_wherever_it_stands() {
    let address = "ws://user:s3cret@127.0.0.1:1";
    for args in [
        &["ask", "--connect", address, "hi"][..],
        &["ask", "--connect=ws://user:s3cret@127.0.0.1:1", "hi"],
        &["ask", "--connect", "ws://127.0.0.1:1/?token=s3cret", "hi"],
        &["ask", "--connect", "ws://127.0.0.1:1/#s3cret", "hi"],
        &["ask", "--connect", "ws://user:a#s3cret@127.0.0.1:1", "hi"],
        &["ask", "--connect", "ws://user:s3cret#a@127.0.0.1:1", "hi"],
        &["ask", "--connect", "ws://127.0.0.1:1/?t=a@s3cret", "hi"],
        &["ask", "--connect", "user:s3cret@127.0.0.1:1", "hi"],
        &["live", "--connect", address],
        &["watch", "--connect", address],
        &["proxy", "--connect", address],
        &["ask", "-c", "s3cret", "hi"],
        &["ask", "--config", "=s3cret", "hi"],
        // Where none belongs, or with a slip.
        &[address],
        &["live", address],
        &["proxy", address],
        &["ask", "--conect", address, "hi", "more"],
        &["ask", "--conect=ws://user:s3cret@127.0.0.1:1", "hi"],
        &["live", "--json=ws://user:s3cret@127.0.0.1:1"],
        &["live", "--every", address, "--watch"],
    ] {
        let out = cas(args, &[]);
        let told = stderr(&out);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {told}");
        assert!(!told.contains(SECRET), "{args:?}: {told}");
    }
    let told = stderr(&cas(&["ask", "--connect", address, "hi"], &[]));
    assert!(
        told.contains("--connect") && told.contains("does not belong into an address"),
        "it says what is wrong: {told}"
    );
}

#[test]
fn the_configuration_file_is_not_quoted_where_it_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    for (text, told) in [
        ("connect = \"ws://user:s3cret@127.0.0.1:1\"", "--connect"),
        ("connect = \"ws://127.0.0.1:1?token=s3cret\"", "--connect"),
        ("config = [\"s3cret\"]", "--config"),
        ("model = \"m\"\nconnect = \"ws://user:s3cret@h", "line 2: "),
        ("connect = ws://user:s3cret@h", "line 1: "),
    ] {
        fs::write(&file, text).unwrap();
        let out = cas(&["ask", "hi"], &[("CAS_CONFIG", &file)]);
        let stderr = stderr(&out);
        assert_eq!(out.status.code(), Some(2), "{text}: {stderr}");
        assert!(stderr.contains(told), "{text}: {stderr}");
        assert!(!stderr.contains(SECRET), "{text}: {stderr}");
    }
}

#[test]
fn a_codex_that_is_started_does_not_inherit_the_token_for_another_server() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let prelude = format!("env >> '{}'; echo \"$*\" >> '{0}'; exit 3", seen.display());
    let codex = fake::executable(dir.path(), &prelude);
    let here = dir.path().to_str().unwrap();
    for args in [
        &["ask", "hi"][..],
        &["review"],
        &["threads", "list"],
        &["models"],
        &["doctor"],
        &["preflight"],
        &["login", "--status"],
        &["mine", "--out", "-"],
        &["steer", "thread", "turn", "text"],
        &["post", "thread", "text"],
        &["goal", "get", "thread"],
        &["rate-limits"],
        &["proxy"],
        &["instance-runner", "--instances", "1", "--cwd", here],
        &["smoke-check", "--cwd", here],
    ] {
        let _ = fs::remove_file(&seen);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
        command.args(args).env("CAS_CODEX", &codex);
        for name in ["HOME", "CODEX_HOME", "CAS_SDK_CACHE"] {
            command.env(name, dir.path());
        }
        let out = command
            .env("CAS_CONNECT_TOKEN", SECRET)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let seen = fs::read_to_string(&seen).unwrap_or_default();
        assert!(seen.contains("PATH="), "{args:?} starts none: {out:?}");
        assert!(!seen.contains(SECRET), "{args:?}");
    }
}

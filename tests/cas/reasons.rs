//! Whatever fails says why, in the words of the command line.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    common::{codex_test, within},
    fake,
    people::{lines, run, stderr, stdout},
};

#[test]
fn an_instance_that_does_not_start_says_with_which_status_and_words_its_server_ended() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "echo 'no licence' >&2; exit 7");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .args([
            "instance-runner",
            "--instances",
            "1",
            "--json",
            "--read-only",
            "--cwd",
        ])
        .arg(dir.path());
    let out = command
        .env("CAS_CODEX", codex)
        .env("HOME", dir.path())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let error = report["start_failures"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("exit status 7") && error.contains("no licence"),
        "{error}"
    );
}

#[test]
fn a_directory_that_is_not_there_is_the_reason_and_not_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .args([
            "proxy",
            "--cwd",
            "/no/such/dir",
            "--state-file",
            "/dev/null",
            "--codex",
        ])
        .arg(&codex);
    let out = command.env("HOME", dir.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        stdout(&out).contains("working directory /no/such/dir is not there"),
        "{}",
        stdout(&out)
    );
}

#[test]
fn the_events_of_a_proxy_are_logged_if_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .args(["proxy", "--state-file", "state.json", "--codex"])
        .arg(&codex)
        .current_dir(dir.path());
    let out = command
        .env("HOME", dir.path())
        .env("RUST_LOG", "debug")
        .output()
        .unwrap();
    assert!(
        stderr(&out).contains("cas::proxy") && stderr(&out).contains("ready"),
        "{}",
        stderr(&out)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_that_codex_rejects_its_configuration() {
    codex_test(120, async |rig| {
        let config = rig.home.path().join("config.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(
            &config,
            format!("model = 5\n{}", text.replace("model = ", "other = ")),
        )
        .unwrap();
        within(120, async {
            let out = run(&rig, &["doctor"]).await;
            assert_eq!(out.status.code(), Some(1), "{}", stdout(&out));
            assert!(stdout(&out).contains("✗ config"), "{}", stdout(&out));
            assert!(
                stderr(&out).contains("rejects its configuration"),
                "{}",
                stderr(&out)
            );
            let out = run(&rig, &["doctor", "--json"]).await;
            assert_eq!(out.status.code(), Some(1));
            let report = &lines(&out)[0];
            assert_eq!(report["ok"], false);
            assert!(
                report["error"]
                    .as_str()
                    .unwrap()
                    .contains("rejects its configuration"),
                "{report}"
            );
        })
        .await;
    })
    .await;
}

#[test]
fn a_server_that_was_named_and_is_not_there_is_told_by_every_look_at_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix://{}", dir.path().join("gone.sock").display());
    for args in [&["live", "--connect"][..], &["live", "--json", "--connect"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
        command.args(args).arg(&address).env("HOME", dir.path());
        let out = command.env_remove("CODEX_HOME").output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        let told = stderr(&out);
        assert!(
            told.contains(&address) && told.contains("no server is there"),
            "{told}"
        );
        assert!(!stdout(&out).contains("nothing runs"), "{}", stdout(&out));
    }
}

#[cfg(unix)]
#[test]
fn the_script_of_npm_without_node_is_told_in_the_words_of_the_command_line() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("node_modules/@openai/codex");
    let codex = root.join("bin/codex.js");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(root.join("package.json"), "{}").unwrap();
    fs::write(&codex, "#!/usr/bin/env node\n").unwrap();
    fs::set_permissions(&codex, fs::Permissions::from_mode(0o755)).unwrap();
    for args in [
        &["models", "--codex"][..],
        &["proxy", "--state-file", "/dev/null", "--codex"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
        command.args(args).arg(&codex).env("HOME", dir.path());
        let out = command.env("PATH", "/nowhere").output().unwrap();
        let told = stderr(&out) + &stdout(&out);
        assert!(
            told.contains("needs Node") && told.contains("with --codex or"),
            "{told}"
        );
        assert!(!told.contains("builder"), "{told}");
    }
}

#[test]
fn a_codex_that_is_not_there_is_told_in_the_words_of_the_command_line() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    let out = command
        .args(["threads", "list", "--codex", "/no/such/codex"])
        .output()
        .unwrap();
    let told = stderr(&out);
    assert!(
        told.contains("/no/such/codex of --codex: does not exist") && !told.contains("builder"),
        "{told}"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    let out = command
        .args(["models"])
        .env_remove("CAS_CODEX")
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert!(
        stderr(&out).contains("there is no /nowhere"),
        "{}",
        stderr(&out)
    );
}

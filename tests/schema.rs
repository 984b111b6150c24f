//! `schema::drift` against the real codex, and against binaries that are not codex.

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use cas_sdk::{
    schema::{self, DriftError, Needs, Profile},
    testing,
};
use common::{codex_test, within};

fn script(dir: &Path, text: &str) -> std::path::PathBuf {
    let path = dir.join("codex");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The cache is named by a variable of the process, so this runs in a process of its own.
#[tokio::test]
#[cfg_attr(
    foreign_schema,
    ignore = "the codex of the tests is of the schema in the repository"
)]
async fn the_pinned_codex_has_not_drifted_another_one_has_and_each_is_asked_once() {
    let Some(codex) = testing::codex_or_skip().await else {
        return;
    };
    let output = Command::new(&codex).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&output.stdout)
        .trim()
        .replace("codex-cli ", "");
    let cache = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    // Counts its runs.
    let count = dir.path().join("count");
    let wrapper = script(
        dir.path(),
        &format!(
            "echo run >> '{}'\nexec '{}' \"$@\"",
            count.display(),
            codex.display()
        ),
    );
    let again = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_compares", "--ignored", "--nocapture"])
            .env("CAS_SDK_CACHE", cache.path())
            .env("CAS_DRIFT_OF", &wrapper)
            .output()
            .unwrap()
    };
    for _ in 0..2 {
        let output = again();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let pinned = version == testing::CODEX_VERSION;
        assert_eq!(
            said.contains("no drift: the same methods"),
            pinned,
            "{said}"
        );
    }
    assert_eq!(fs::read_to_string(&count).unwrap(), "run\n");

    let files: Vec<_> = fs::read_dir(cache.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let mode = files[0].metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Another binary at the same place is asked again.
    let text = fs::read_to_string(&wrapper).unwrap();
    fs::write(&wrapper, text + "# newer\n").unwrap();
    let output = again();
    assert!(output.status.success());
    assert_eq!(fs::read_to_string(&count).unwrap(), "run\nrun\n");
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn child_compares() {
    let Some(codex) = std::env::var_os("CAS_DRIFT_OF") else {
        return;
    };
    let drift = within(60, schema::drift(Path::new(&codex))).await.unwrap();
    println!("{drift}");
}

#[tokio::test]
#[cfg_attr(
    foreign_schema,
    ignore = "the codex of the tests is of the schema in the repository"
)]
async fn the_real_codex_has_all_that_the_profiles_need_and_not_what_went_long_ago() {
    let Some(codex) = testing::codex_or_skip().await else {
        return;
    };
    let needs = Profile::ALL.into_iter().fold(Needs::new(), Needs::profile);
    let contract = within(60, schema::contract(&codex, needs)).await.unwrap();
    assert!(contract.is_met() && contract.checked > 60, "{contract}");
    let params = serde_json::json!({"approvalPolicy": "on-failure", "cwd": "/"});
    let needs = Needs::new()
        .method("thread/rollback")
        .request("thread/start", &params);
    let contract = within(60, schema::contract(&codex, needs)).await.unwrap();
    let unmet: Vec<String> = contract.unmet.iter().map(ToString::to_string).collect();
    assert_eq!(unmet.len(), 2, "{contract}");
    assert_eq!(
        unmet[0],
        "thread/rollback is missing (gone since codex 0.156.0)"
    );
    assert!(
        unmet[1].starts_with("AskForApproval = \"on-failure\" is refused; the server takes "),
        "{contract}"
    );
}

/// The server behaves as its schema says.
#[tokio::test]
async fn a_running_codex_is_checked_without_its_schema_with_the_same_result() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let needs = Profile::ALL.into_iter().fold(Needs::new(), Needs::profile);
        let contract = schema::contract_of(&client, needs).await.unwrap();
        assert!(contract.is_met() && contract.checked > 60, "{contract}");
        let needs = Needs::new().method("thread/rollback").method("dream/start");
        let contract = schema::contract_of(&client, needs).await.unwrap();
        assert_eq!(contract.unmet.len(), 2, "{contract}");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_missing_binary_is_named() {
    let error = schema::drift(Path::new("/nonexistent/codex"))
        .await
        .unwrap_err();
    assert!(matches!(error, DriftError::Binary { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/codex"), "{error}");
}

#[tokio::test]
async fn a_binary_that_fails_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let codex = script(dir.path(), "echo no such command >&2; exit 3");
    let error = within(30, schema::drift(&codex)).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DriftError::Failed { .. }), "{text}");
    assert!(text.contains("exit status: 3: no such command"), "{text}");
}

#[tokio::test]
async fn a_binary_that_writes_no_schema_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let codex = script(dir.path(), "exit 0");
    let error = within(30, schema::drift(&codex)).await.unwrap_err();
    assert!(matches!(error, DriftError::Schema { .. }), "{error:?}");
}

/// Nothing else runs, so the paused clock jumps to the limit.
#[tokio::test(start_paused = true)]
async fn a_binary_that_hangs_is_given_up_after_a_minute_and_killed() {
    let dir = tempfile::tempdir().unwrap();
    let codex = script(dir.path(), "mkfifo \"$0.fifo\"; read line < \"$0.fifo\"");
    let error = within(120, schema::drift(&codex)).await.unwrap_err();
    assert!(
        matches!(&error, DriftError::Timeout { after, .. } if after.as_secs() == 60),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains(&codex.display().to_string()), "{text}");
    assert!(text.contains("no schema within 60s"), "{text}");
    tokio::time::resume();
    within(30, async {
        while is_running(&codex) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Whether a process has the path of a script among its arguments.
fn is_running(script: &Path) -> bool {
    let script = script.as_os_str().as_encoded_bytes();
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        fs::read(process.path().join("cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0)
                .any(|argument| argument == script)
        })
    })
}

//! `cas instance-runner`: many instances at once, and none of them left.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::{eventually, is_alive},
    fake,
};

fn runner(codex: &Path, dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .args(["instance_runner", "--json", "--cwd"])
        .arg(dir)
        .arg("--codex")
        .arg(codex)
        .env("HOME", dir);
    command
}

#[test]
fn every_instance_gets_the_request_and_the_report_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let states = dir.path().join("states");
    let out = runner(&codex, dir.path())
        .args([
            "--instances",
            "16",
            "--method",
            "x/y",
            "--params-json",
            r#"{"threadId":"t-1"}"#,
            "--sample",
            "2",
        ])
        .arg("--state-file-dir")
        .arg(&states)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(out.status.success(), "{report}");
    for (key, value) in [
        ("demo", json!("cas-instance-runner")),
        ("cwd", json!(dir.path())),
        ("state_file_dir", json!(states)),
        ("method", json!("x/y")),
        ("params", json!({"threadId": "t-1"})),
        ("instances_requested", json!(16)),
        ("instances_started", json!(16)),
        ("start_failures", json!([])),
        ("requests_ok", json!(16)),
        ("requests_failed", json!(0)),
        (
            "sample_results",
            json!([{"instance": 1, "ok": true, "summary": {"keys": ["params"]}}, {"instance": 2, "ok": true, "summary": {"keys": ["params"]}}]),
        ),
    ] {
        assert_eq!(report[key], value, "{key}");
    }
    for key in ["start_all_clients", "run_all_requests", "total"] {
        assert!(report["timing_ms"][key].is_u64(), "{report}");
    }
    assert_eq!(
        fs::read_dir(states).unwrap().count(),
        16,
        "a state file for each"
    );
}

#[test]
fn the_report_has_the_shape_of_the_original_to_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let cases = [
        (
            "thread/list",
            r#"{"data":[{"id":"t-1"},{"id":"t-2"}]}"#,
            json!({"firstThreadId": "t-1", "rows": 2}),
        ),
        (
            "thread/list",
            r#"{"data":[]}"#,
            json!({"firstThreadId": null, "rows": 0}),
        ),
        (
            "thread/read",
            r#"{"thread":{"id":"t-1","turns":[]}}"#,
            json!({"threadId": "t-1", "turns": null}),
        ),
        (
            "thread/read",
            r#"{"thread":{"id":"t-1"},"turns":[1,2]}"#,
            json!({"threadId": "t-1", "turns": 2}),
        ),
        (
            "x/y",
            r#"{"z":1,"b":2,"a":3,"d":4,"c":5,"f":6,"e":7,"h":8,"g":9}"#,
            json!({"keys": ["z", "b", "a", "d", "c", "f", "e", "h"]}),
        ),
        ("x/y", "[7,8]", json!({"keys": ["0", "1"]})),
        ("x/y", "5", json!({"value": 5})),
    ];
    for (method, answer, summary) in cases {
        let out = runner(&codex, dir.path())
            .args(["--instances", "1", "--method", method])
            .env("FAKE_RAW_ANSWER", answer)
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&out.stdout).unwrap();
        let sample = json!({"instance": 1, "ok": true, "summary": summary});
        assert_eq!(
            report["sample_results"],
            json!([sample]),
            "{method} {answer}"
        );
        // In the order of the original, and as it prints them.
        let text = String::from_utf8(out.stdout).unwrap();
        let keys: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  \"")?.split('"').next())
            .collect();
        let expected = [
            "demo",
            "cwd",
            "state_file_dir",
            "method",
            "params",
            "instances_requested",
            "instances_started",
            "start_failures",
            "requests_ok",
            "requests_failed",
            "timing_ms",
            "sample_results",
        ];
        assert_eq!(keys, expected);
    }
    let out = runner(&codex, dir.path())
        .args(["--instances", "1", "--method", "x/y", "--full"])
        .env("FAKE_RAW_ANSWER", r#"{"z":1.50}"#)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains(r#""result": {"z":1.50}"#), "{text}");
}

#[test]
fn each_instance_has_a_home_of_its_own_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), r#"echo x > "$CODEX_HOME/was-here""#);
    let out = runner(&codex, dir.path())
        .args([
            "--instances",
            "3",
            "--client-prefix",
            "worker",
            "--codex-home-dir",
        ])
        .arg(dir.path().join("homes"))
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stdout)
    );
    for number in 1..=3 {
        assert!(
            dir.path()
                .join(format!("homes/worker-{number}/was-here"))
                .exists()
        );
    }
}

#[test]
fn failures_are_counted_and_set_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    // Every other one does not start.
    let odd = r#"case "$(mkdir first 2>&1)" in "") FAKE_MODE="exit 9"; export FAKE_MODE;; esac"#;
    let codex = fake::executable(dir.path(), odd);
    let answers = json!({"thread/list": {"error": {"code": -32600, "message": "no"}}});
    let out = runner(&codex, dir.path())
        .args(["--instances", "4"])
        .env("FAKE_ANSWERS", answers.to_string())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(
        (&report["instances_started"], &report["requests_failed"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(report["params"], json!({"cursor": null, "limit": 1}));
    let failures = report["start_failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1);
    assert!(failures[0]["instance"].is_u64() && failures[0]["error"].is_string());
    let sample = &report["sample_results"][0];
    assert_eq!(
        (&sample["ok"], &sample["error"]),
        (&json!(false), &json!("no (-32600)"))
    );
    assert!(sample.get("summary").is_none());
    assert_eq!(report["state_file_dir"], json!(null), "none was given");
}

#[test]
fn a_start_that_lost_its_home_to_another_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    // The first attempts of all find the databases locked.
    let lost = format!(
        "mkdir '{0}'/lost-1 2>/dev/null || mkdir '{0}'/lost-2 2>/dev/null || mkdir '{0}'/lost-3 2>/dev/null && \
         {{ echo 'failed to initialize state runtime: database is locked' >&2; exit 1; }}",
        dir.path().display()
    );
    let codex = fake::executable(dir.path(), &lost);
    let out = runner(&codex, dir.path())
        .args(["--instances", "2", "--method", "x/y"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(out.status.success(), "{report}");
    assert_eq!(report["instances_started"], 2);
    assert_eq!(report["start_failures"], json!([]));
    assert!(dir.path().join("lost-3").is_dir(), "all were lost");
}

#[tokio::test]
async fn ctrl_c_ends_all_that_was_started() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), r#"echo $$ > "pid-$$""#);
    // The request is never answered.
    let mut child = runner(&codex, dir.path())
        .args(["--instances", "4", "--method", "fake/never"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pids = || -> Vec<u32> {
        let names = fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .map(|f| f.file_name());
        names
            .filter_map(|n| n.to_str()?.strip_prefix("pid-")?.parse().ok())
            .collect()
    };
    eventually("all have started", || pids().len() == 4).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    eventually("all are gone", || {
        pids().into_iter().all(|pid| !is_alive(pid))
    })
    .await;
    let mut status = None;
    eventually("the runner has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(130));
}

#[test]
fn a_run_that_can_not_start_leaves_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (file, temporary) = (dir.path().join("file"), dir.path().join("tmp"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command.args([
        "instance-runner",
        "--cwd",
        ".",
        "--read-only",
        "--codex-home-dir",
    ]);
    let out = command
        .arg(&file)
        .env("TMPDIR", &temporary)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

//! `cas smoke-check`, by both its names.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    common::{codex_test, within},
    fake,
};

fn check(name: &str, codex: &Path, flags: &[&str], env: &[(&str, String)]) -> (Value, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .arg(name)
        .arg("--cwd")
        .arg(dir.path())
        .arg("--codex")
        .arg(codex)
        .arg("--json");
    command.args(flags).envs(env.iter().map(|(k, v)| (k, v)));
    let out = command.output().unwrap();
    let report = serde_json::from_slice(&out.stdout).expect("JSON alone on stdout");
    (report, out.status.code())
}

fn names(report: &Value) -> Vec<(&str, bool)> {
    let checks = report["checks"].as_array().unwrap();
    (checks.iter())
        .map(|c| (c["name"].as_str().unwrap(), c["ok"].as_bool().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_codex_passes() {
    codex_test(120, async |rig| {
        let env: Vec<(&str, String)> = Vec::new();
        let home: Vec<_> = rig.home.env();
        within(60, async {
            let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
            command
                .args(["smoke-check", "--json", "--cwd"])
                .arg(rig.home.work_dir());
            command
                .arg("--codex")
                .arg(rig.codex())
                .env_clear()
                .envs(home)
                .envs(env);
            let out = command.output().unwrap();
            let report: Value = serde_json::from_slice(&out.stdout).unwrap();
            assert!(out.status.success(), "{report}");
            assert_eq!(
                (&report["check"], &report["ok"]),
                (&"cas-smoke-check".into(), &true.into())
            );
            assert!(report["threadId"].is_string());
            assert_eq!(
                names(&report),
                [
                    ("experimentalFeature/list", true),
                    ("thread/resume", true),
                    ("turn/steer", true)
                ]
            );
        })
        .await;
    })
    .await;
}

#[test]
fn a_refusal_passes_and_an_unknown_method_fails() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let error = |code: i32, message: &str| json!({"error": {"code": code, "message": message}});
    for unknown in [
        error(-32601, "method not found"),
        error(
            -32600,
            "Invalid request: unknown variant `thread/resume`, expected one of `initialize`",
        ),
    ] {
        let answers = json!({"thread/resume": unknown, "turn/steer": error(-32600, "no active turn to steer")});
        let env = [("FAKE_ANSWERS", answers.to_string())];
        let (report, code) = check("smoke_check", &codex, &["--thread-id", "t-1"], &env);
        assert_eq!(code, Some(1), "{report}");
        assert_eq!(
            (&report["ok"], &report["threadId"]),
            (&false.into(), &"t-1".into())
        );
        assert_eq!(
            names(&report),
            [
                ("experimentalFeature/list", true),
                ("thread/resume", false),
                ("turn/steer", true)
            ]
        );
    }
}

#[test]
fn an_app_server_that_does_not_start_fails_the_check() {
    let (report, code) = check("smoke-check", Path::new("/no/such/codex"), &[], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(names(&report), [("initialize", false)]);
}

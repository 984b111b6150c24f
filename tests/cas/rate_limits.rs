//! `cas rate-limits`: the figures of the account and the advice.

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::fake;

fn limits(answer: &Value, flags: &[&str]) -> std::process::Output {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let answers = json!({"account/rateLimits/read": answer}).to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .arg("rate-limits")
        .args(flags)
        .arg("--codex")
        .arg(codex)
        .arg("--cwd")
        .arg(dir.path());
    command.env("FAKE_ANSWERS", answers).output().unwrap()
}

#[test]
fn the_report_has_the_pace_and_the_advice() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let codex = json!({"limitId": "codex",
        "primary": {"usedPercent": 5, "resetsAt": now + 150 * 60, "windowDurationMins": 300},
        "secondary": {"usedPercent": 65, "resetsAt": now + 5_040 * 60, "windowDurationMins": 10_080}});
    let answer = json!({"rateLimits": codex, "rateLimitsByLimitId": {"codex": codex, "other": {}}});
    let out = limits(&answer, &["--json", "--max-workers", "6"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(out.status.success());
    assert_eq!(
        (
            &report["limit_id"],
            &report["tier"],
            &report["governing_window"]
        ),
        (&json!("codex"), &json!("tight"), &json!("secondary"))
    );
    assert_eq!(
        report["advice"],
        json!({"mode": "paced", "max_workers": 6, "workers": 0, "parallelism": "one_task"})
    );
    let primary = &report["windows"][0];
    assert_eq!(
        (&primary["window"], &primary["tier"]),
        (&json!("primary"), &json!("surplus"))
    );
    assert!(
        (primary["delta_percent"].as_f64().unwrap() + 45.0).abs() < 1.0,
        "{primary}"
    );
    assert_eq!(report["rate_limits"], answer);

    let out = limits(&answer, &["--mode", "all_out", "--max-workers", "6"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        text.contains("codex: tight") && text.contains("6 of 6 workers"),
        "{text}"
    );
}

#[test]
fn without_a_login_it_says_what_to_do() {
    let refusal = json!({"error": {"code": -32600, "message": "codex account authentication required to read rate limits"}});
    let out = limits(&refusal, &[]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(
        text.contains("codex login") && text.lines().count() == 1,
        "{text}"
    );
}

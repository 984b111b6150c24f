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
    let out = limits(&answer, &["--json", "--full", "--max-workers", "6"]);
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
fn a_missing_login_is_reported_with_the_remedy() {
    let refusal = json!({"error": {"code": -32600, "message": "codex account authentication required to read rate limits"}});
    let out = limits(&refusal, &[]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(
        text.contains("cas login") && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn the_default_report_has_the_exact_shape_of_the_original() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let report = |answer: &Value| -> (Value, Vec<String>) {
        let out = limits(answer, &["--json"]);
        let text = String::from_utf8(out.stdout).unwrap();
        let keys = text
            .lines()
            .filter_map(|line| line.strip_prefix("  \"")?.split('"').next());
        (
            serde_json::from_str(&text).unwrap(),
            keys.map(str::to_owned).collect(),
        )
    };
    let codex = json!({"limitId": "codex", "limitName": null, "planType": "pro",
        "primary": {"usedPercent": 5, "resetsAt": now + 150 * 60, "windowDurationMins": 300},
        "secondary": {"usedPercent": 65, "resetsAt": now + 5_040 * 60, "windowDurationMins": 10_080}});
    let (by_id, keys) =
        report(&json!({"rateLimits": codex, "rateLimitsByLimitId": {"codex": codex}}));
    let expected = [
        "ok",
        "bucketSource",
        "bucketKey",
        "limitId",
        "limitName",
        "planType",
        "windowKind",
        "nowSec",
        "usedPercent",
        "resetsAt",
        "windowDurationMins",
        "remainingMins",
        "elapsedPercent",
        "deltaPercent",
        "tier",
        "tierReason",
        "pacingOk",
        "pacingReason",
        "effectiveTier",
        "primary",
        "secondary",
    ];
    assert_eq!(keys, expected);
    let governing = json!({"ok": true, "bucketSource": "by_limit_id", "bucketKey": "codex", "limitId": "codex",
        "limitName": null, "planType": "pro", "windowKind": "secondary", "usedPercent": 65,
        "resetsAt": now + 5_040 * 60, "windowDurationMins": 10_080, "tier": "tight",
        "tierReason": "delta_lt_25", "pacingOk": true, "pacingReason": "ok", "effectiveTier": "tight"});
    for (key, value) in governing.as_object().unwrap() {
        assert_eq!(by_id[key], *value, "{key}: {by_id}");
    }
    let primary = &by_id["primary"];
    assert_eq!(
        (
            &primary["usedPercent"],
            &primary["tier"],
            &primary["tierReason"]
        ),
        (&json!(5), &json!("surplus"), &json!("delta_le_-25"))
    );
    assert!(
        primary["remainingMins"]
            .as_u64()
            .is_some_and(|left| (145..=150).contains(&left))
    );
    assert!(primary.get("ok").is_none() && primary.get("kind").is_none());

    let (single, _) = report(&json!({"rateLimits": {"primary": {"usedPercent": 97}}}));
    let expected = json!({"bucketSource": "single_bucket", "bucketKey": null, "limitId": null, "windowKind": "primary",
        "usedPercent": 97, "resetsAt": null, "remainingMins": null, "elapsedPercent": null, "deltaPercent": null,
        "tier": "critical", "tierReason": "used_ge_95", "pacingOk": false, "pacingReason": "missing_fields", "secondary": null});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(single[key], *value, "{key}: {single}");
    }

    let (missing, keys) = report(&json!({}));
    assert_eq!(keys.len(), 21);
    let expected = json!({"ok": false, "bucketSource": "missing", "windowKind": null, "tier": "unknown",
        "tierReason": "window_missing", "effectiveTier": "on_track", "primary": null, "secondary": null});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(missing[key], *value, "{key}: {missing}");
    }
}

#[test]
fn people_are_told_the_plan_and_when_each_window_begins_anew() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let limits_of = json!({"limitId": "codex", "planType": "pro",
        "primary": {"usedPercent": 5, "resetsAt": now + 7_830, "windowDurationMins": 300}});
    let out = limits(&json!({ "rateLimits": limits_of }), &[]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("(pro plan)"), "{text}");
    assert!(text.contains("resets in 2 h 10 min"), "{text}");
}

#[test]
fn the_full_report_has_what_the_server_told_to_the_letter() {
    let name = "codex\u{202e}\x1b[2J\n";
    let answer = json!({"rateLimits": {"limitId": "codex", "limitName": name}});
    let out = limits(&answer, &["--json", "--full"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        !text.contains('\u{202e}') && !text.contains('\x1b'),
        "{text}"
    );
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["rate_limits"], answer);
}

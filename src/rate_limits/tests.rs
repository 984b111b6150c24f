//! The arithmetic of the pace, at its edges.

use std::time::Duration;

use serde_json::json;

use super::*;

const NOW: f64 = 1_000_000.0;

fn at(now: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(now)
}

/// A window of 100 minutes of which so much has passed and is used.
fn window(used: f64, elapsed: f64, minutes: f64) -> Value {
    let left = minutes * 60.0 * (100.0 - elapsed) / 100.0;
    json!({"usedPercent": used, "resetsAt": NOW + left, "windowDurationMins": minutes})
}

fn pace(primary: &Value, secondary: &Value) -> Pace {
    let bucket = json!({"primary": primary, "secondary": secondary});
    RateLimits::from_response(&json!({"rateLimits": bucket})).pace_at(at(NOW))
}

#[test]
fn the_tier_is_used_minus_elapsed_and_changes_at_its_edges() {
    for (used, elapsed, tier) in [
        (25.0, 50.0, Tier::Surplus),
        (26.0, 50.0, Tier::Ahead),
        (40.0, 50.0, Tier::Ahead),
        (41.0, 50.0, Tier::OnTrack),
        (59.0, 50.0, Tier::OnTrack),
        (60.0, 50.0, Tier::Tight),
        (74.0, 50.0, Tier::Tight),
        (75.0, 50.0, Tier::Critical),
        (94.0, 100.0, Tier::OnTrack),
        (95.0, 100.0, Tier::Critical),
    ] {
        let pace = pace(&window(used, elapsed, 100.0), &Value::Null);
        assert_eq!(pace.tier(), tier, "{used} used at {elapsed}");
    }
}

#[test]
fn elapsed_is_clamped_when_the_reset_is_past_or_far() {
    let elapsed = |resets_at: f64| {
        let window = json!({"usedPercent": 0, "resetsAt": resets_at, "windowDurationMins": 1});
        pace(&window, &Value::Null).windows[0].elapsed_percent
    };
    assert_eq!(elapsed(NOW - 500.0), Some(100.0));
    assert_eq!(elapsed(NOW + 500.0), Some(0.0));
    assert_eq!(elapsed(NOW + 30.0), Some(50.0));
}

#[test]
fn the_stricter_window_governs_and_on_a_tie_the_longer() {
    let (tight, ahead) = (window(65.0, 50.0, 300.0), window(38.0, 50.0, 10_080.0));
    assert_eq!(pace(&tight, &ahead).governing().unwrap().window, "primary");
    assert_eq!(
        pace(&ahead, &tight).governing().unwrap().window,
        "secondary"
    );
    let (short, long) = (window(50.0, 50.0, 300.0), window(51.0, 50.0, 10_080.0));
    assert_eq!(pace(&short, &long).governing().unwrap().window, "secondary");
    assert_eq!(pace(&long, &short).governing().unwrap().window, "primary");
}

#[test]
fn what_is_unknown_acts_as_on_track() {
    let unknown = json!({"usedPercent": 5});
    for pace in [
        pace(&unknown, &window(1.0, 90.0, 10.0)),
        pace(&Value::Null, &Value::Null),
        RateLimits::default().pace_at(at(NOW)),
    ] {
        assert_eq!(pace.tier(), Tier::Unknown);
        assert_eq!(pace.workers(BudgetMode::Paced, 8), 1);
        assert_eq!(pace.parallelism(), Parallelism::OneInParallel);
    }
    let used_up = json!({"usedPercent": 99});
    assert_eq!(pace(&used_up, &Value::Null).tier(), Tier::Critical);
}

#[test]
fn the_advice_follows_the_tier_and_all_out_ignores_it() {
    for (used, workers, parallelism) in [
        (10.0, 8, Parallelism::Free),
        (35.0, 8, Parallelism::Free),
        (50.0, 1, Parallelism::OneInParallel),
        (65.0, 0, Parallelism::OneTask),
        (90.0, 0, Parallelism::OneTask),
    ] {
        let pace = pace(&window(used, 50.0, 100.0), &Value::Null);
        assert_eq!(pace.workers(BudgetMode::Paced, 8), workers, "{used}");
        assert_eq!(pace.workers(BudgetMode::AllOut, 8), 8);
        assert_eq!(pace.workers(BudgetMode::Paced, 0), 0);
        assert_eq!(pace.parallelism(), parallelism, "{used}");
    }
}

#[test]
fn the_bucket_is_codex_else_the_only_one_else_one_like_it_else_the_first_else_the_single_one() {
    let chosen = |by_id: Value| {
        let response = json!({"rateLimits": {"limitId": "single"}, "rateLimitsByLimitId": by_id});
        let limits = RateLimits::from_response(&response);
        limits.bucket().map(|(id, _)| id.to_owned()).unwrap()
    };
    assert_eq!(chosen(json!({"codex_other": {}, "codex": {}})), "codex");
    assert_eq!(chosen(json!({"other": {}})), "other");
    assert_eq!(
        chosen(json!({"a": {}, "my_codex": {}, "z": {}})),
        "my_codex"
    );
    assert_eq!(chosen(json!({"a": {}, "z": {}})), "a");
    assert_eq!(chosen(json!({})), "single");
    assert_eq!(chosen(Value::Null), "single");
    assert_eq!(RateLimits::default().bucket(), None);
}

#[test]
fn an_update_changes_what_it_tells_and_leaves_the_rest() {
    let bucket = json!({"limitId": "codex", "primary": {"usedPercent": 10, "resetsAt": 5, "windowDurationMins": 300},
        "secondary": {"usedPercent": 20}, "planType": "pro", "future": [1]});
    let mut limits = RateLimits::from_response(
        &json!({"rateLimits": bucket, "rateLimitsByLimitId": {"codex": bucket, "codex_other": {"limitId": "codex_other"}}}),
    );
    let update = |limits: &mut RateLimits, rate_limits: Value| {
        limits.merge(&json!({"rateLimits": rate_limits}).to_string());
    };
    update(
        &mut limits,
        json!({"limitId": "codex", "primary": {"usedPercent": 13, "resetsAt": null}, "secondary": null, "planType": null}),
    );
    let expected = json!({"limitId": "codex", "primary": {"usedPercent": 13, "resetsAt": 5, "windowDurationMins": 300},
        "secondary": {"usedPercent": 20}, "planType": "pro", "future": [1]});
    assert_eq!(limits.bucket(), Some(("codex", &expected)));
    assert_eq!(limits.single, expected);

    update(
        &mut limits,
        json!({"limitId": "codex_other", "primary": {"usedPercent": 99}}),
    );
    assert_eq!(
        limits.bucket(),
        Some(("codex", &expected)),
        "another bucket's news"
    );
    assert_eq!(limits.by_id["codex_other"]["primary"]["usedPercent"], 99);

    let before = limits.clone();
    limits.merge("no JSON");
    limits.merge("{}");
    update(&mut limits, Value::Null);
    assert_eq!(limits, before);

    let mut fresh = RateLimits::default();
    update(&mut fresh, json!({"primary": {"usedPercent": 7}}));
    assert_eq!(fresh.bucket().unwrap().1["primary"]["usedPercent"], 7);
}

#[test]
fn news_of_another_bucket_do_not_take_the_place_of_a_single_one() {
    let response = json!({"rateLimits": {"limitId": "codex", "primary": {"usedPercent": 1}}});
    let mut limits = RateLimits::from_response(&response);
    limits.merge(r#"{"rateLimits":{"limitId":"codex_other","primary":{"usedPercent":99}}}"#);
    assert_eq!(limits.bucket().unwrap().0, "codex");
    limits.merge(r#"{"rateLimits":{"limitId":"codex","primary":{"usedPercent":2}}}"#);
    assert_eq!(limits.bucket().unwrap().1["primary"]["usedPercent"], 2);
}

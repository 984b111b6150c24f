//! The arithmetic of the pace, at its edges.

use std::time::Duration;

use serde_json::json;

use super::*;

const NOW: f64 = 1_000_000.0;

fn at(now: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(now)
}

/// A window of these minutes, with its used and elapsed shares in percent.
fn window(used: i32, elapsed: i64, minutes: i64) -> Value {
    let left = minutes * 60 * (100 - elapsed) / 100;
    json!({"usedPercent": used, "resetsAt": 1_000_000 + left, "windowDurationMins": minutes})
}

fn limits(response: Value) -> RateLimits {
    RateLimits::from_response(&serde_json::from_value(response).unwrap())
}

fn merge(limits: &mut RateLimits, update: Value) {
    let params = Value::from_iter([("rateLimits", update)]);
    limits.merge(&serde_json::from_value(params).unwrap());
}

/// What is reported of a limit; absent fields are null.
fn told(snapshot: &RateLimitSnapshot) -> Value {
    let mut value = serde_json::to_value(snapshot).unwrap();
    value.as_object_mut().unwrap().retain(|_, v| !v.is_null());
    value
}

fn used(snapshot: &RateLimitSnapshot) -> Option<i32> {
    Some(snapshot.primary.as_ref()?.used_percent)
}

fn pace(primary: &Value, secondary: &Value) -> Pace {
    let bucket = json!({"primary": primary, "secondary": secondary});
    limits(json!({"rateLimits": bucket})).pace_at(at(NOW))
}

#[test]
fn the_tier_is_used_minus_elapsed_and_changes_at_its_edges() {
    for (used, elapsed, tier) in [
        (25, 50, Tier::Surplus),
        (26, 50, Tier::Ahead),
        (40, 50, Tier::Ahead),
        (41, 50, Tier::OnTrack),
        (59, 50, Tier::OnTrack),
        (60, 50, Tier::Tight),
        (74, 50, Tier::Tight),
        (75, 50, Tier::Critical),
        (94, 100, Tier::OnTrack),
        (95, 100, Tier::Critical),
    ] {
        let pace = pace(&window(used, elapsed, 100), &Value::Null);
        assert_eq!(pace.tier(), tier, "{used} used at {elapsed}");
    }
}

#[test]
fn elapsed_is_clamped_when_the_reset_is_past_or_far() {
    let elapsed = |resets_at: i64| {
        let window = json!({"usedPercent": 0, "resetsAt": resets_at, "windowDurationMins": 1});
        pace(&window, &Value::Null).windows[0].elapsed_percent
    };
    assert_eq!(elapsed(1_000_000 - 500), Some(100.0));
    assert_eq!(elapsed(1_000_000 + 500), Some(0.0));
    assert_eq!(elapsed(1_000_000 + 30), Some(50.0));
}

#[test]
fn the_stricter_window_governs_and_on_a_tie_the_longer() {
    let (tight, ahead) = (window(65, 50, 300), window(38, 50, 10_080));
    assert_eq!(pace(&tight, &ahead).governing().unwrap().window, "primary");
    assert_eq!(
        pace(&ahead, &tight).governing().unwrap().window,
        "secondary"
    );
    let (short, long) = (window(50, 50, 300), window(51, 50, 10_080));
    assert_eq!(pace(&short, &long).governing().unwrap().window, "secondary");
    assert_eq!(pace(&long, &short).governing().unwrap().window, "primary");
}

#[test]
fn an_unknown_tier_acts_as_on_track() {
    let unknown = json!({"usedPercent": 5});
    for pace in [
        pace(&unknown, &window(1, 90, 10)),
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
        (10, 8, Parallelism::Free),
        (35, 8, Parallelism::Free),
        (50, 1, Parallelism::OneInParallel),
        (65, 0, Parallelism::OneTask),
        (90, 0, Parallelism::OneTask),
    ] {
        let pace = pace(&window(used, 50, 100), &Value::Null);
        assert_eq!(pace.workers(BudgetMode::Paced, 8), workers, "{used}");
        assert_eq!(pace.workers(BudgetMode::AllOut, 8), 8);
        assert_eq!(pace.workers(BudgetMode::Paced, 0), 0);
        assert_eq!(pace.parallelism(), parallelism, "{used}");
    }
}

#[test]
fn the_governing_limit_is_codex_else_the_only_one_else_one_like_it_else_the_first_else_the_single_one()
 {
    let chosen = |by_id: Value| {
        let response = json!({"rateLimits": {"limitId": "single"}, "rateLimitsByLimitId": by_id});
        limits(response)
            .governing_limit()
            .map(|(id, _)| id.to_owned())
            .unwrap()
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
    assert!(RateLimits::default().governing_limit().is_none());
}

#[test]
fn an_update_changes_what_it_tells_and_leaves_the_rest() {
    let bucket = json!({"limitId": "codex", "primary": {"usedPercent": 10, "resetsAt": 5, "windowDurationMins": 300},
        "secondary": {"usedPercent": 20}, "planType": "pro", "credits": {"hasCredits": true, "unlimited": false, "balance": "5"}});
    let mut limits = limits(
        json!({"rateLimits": bucket, "rateLimitsByLimitId": {"codex": bucket, "codex_other": {"limitId": "codex_other"}}}),
    );
    merge(
        &mut limits,
        json!({"limitId": "codex", "primary": {"usedPercent": 13, "resetsAt": null}, "secondary": null, "planType": null,
            "credits": {"hasCredits": false, "unlimited": false, "balance": null}}),
    );
    let expected = json!({"limitId": "codex", "primary": {"usedPercent": 13, "resetsAt": 5, "windowDurationMins": 300},
        "secondary": {"usedPercent": 20}, "planType": "pro", "credits": {"hasCredits": false, "unlimited": false, "balance": "5"}});
    let codex = |limits: &RateLimits| {
        let (id, bucket) = limits.governing_limit().unwrap();
        assert_eq!(id, "codex");
        told(bucket)
    };
    assert_eq!(codex(&limits), expected);
    assert_eq!(told(limits.single.as_ref().unwrap()), expected);

    merge(
        &mut limits,
        json!({"limitId": "codex_other", "primary": {"usedPercent": 99}}),
    );
    assert_eq!(codex(&limits), expected, "another limit's update");
    assert_eq!(used(&limits.by_id["codex_other"]), Some(99));

    merge(&mut limits, json!({}));
    assert_eq!(codex(&limits), expected);
    assert_eq!(used(&limits.by_id["codex_other"]), Some(99));

    let mut fresh = RateLimits::default();
    merge(&mut fresh, json!({"primary": {"usedPercent": 7}}));
    assert_eq!(used(fresh.governing_limit().unwrap().1), Some(7));
}

#[test]
fn an_update_of_another_limit_does_not_replace_a_single_one() {
    let mut limits =
        limits(json!({"rateLimits": {"limitId": "codex", "primary": {"usedPercent": 1}}}));
    merge(
        &mut limits,
        json!({"limitId": "codex_other", "primary": {"usedPercent": 99}}),
    );
    assert_eq!(limits.governing_limit().unwrap().0, "codex");
    merge(
        &mut limits,
        json!({"limitId": "codex", "primary": {"usedPercent": 2}}),
    );
    assert_eq!(used(limits.governing_limit().unwrap().1), Some(2));
}

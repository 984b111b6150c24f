//! `cas rate-limits`: how much of the account's allowance is used, and how much work that leaves
//! room for.

use std::{
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use cas_sdk::{
    Error, RpcErrorKind,
    protocol::{GetAccountRateLimitsResponse, RateLimitSnapshot},
    rate_limits::{BudgetMode, Pace, RateLimits, Tier, WindowPace},
};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};

use crate::{
    output::{Result, field, json as json_line, line, pretty_json},
    server::{Server, close},
    when::{length, now},
};

/// Show the account's rate limits, and how much work they leave room for.
///
/// Compares for each window how much is used with how much of its time has passed. The stricter
/// window governs.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(
    after_help = "Exit status: 0 the limits were read, 1 they were not (not logged in), 2 wrong usage.\nCompatible with cas_rate_limits.mjs."
)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Accepted and ignored, since orchestrators pass it to every command
    #[arg(long, value_name = "PATH")]
    #[allow(dead_code, reason = "see above")]
    state_file: Option<PathBuf>,
    /// Pace the work, or ignore the limits
    #[arg(long, value_enum, default_value = "paced")]
    mode: BudgetMode,
    /// The maximum number of workers; 0 means none
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_workers: usize,
    /// Report as JSON, in the shape of `cas_rate_limits.mjs`
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json: report the advice and everything that the server sent instead
    #[arg(long, requires = "json")]
    full: bool,
}

pub(crate) async fn run(args: Args) -> Result {
    let client = args.server.client().await?;
    let answer = client
        .call::<Value>("account/rateLimits/read", &Value::Null)
        .await;
    close(&client).await;
    let answer = match answer {
        Err(Error::Rpc { source, .. }) if source.kind() == RpcErrorKind::AuthRequired => {
            return Err(format!("{}; log in with `cas login`", source.message).into());
        }
        other => other?,
    };
    let now = now();
    let limits = if answer["rateLimits"].is_null() {
        RateLimits::default()
    } else {
        let response = GetAccountRateLimitsResponse::deserialize(&answer)
            .map_err(|e| format!("the answer to account/rateLimits/read does not fit: {e}"))?;
        RateLimits::from_response(&response)
    };
    let pace = limits.pace_at(UNIX_EPOCH + Duration::from_secs(now));
    if !args.json {
        let plan = limits
            .governing_limit()
            .and_then(|(_, limit)| Some(limit.plan_type.as_ref()?.as_str()));
        return show(&pace, plan, now, &args);
    }
    if !args.full {
        let limit = limits.governing_limit().map(|(_, limit)| limit);
        let report = Report::new(&answer, limit, &pace, now);
        return pretty_json(&report);
    }
    json_line(&json!({
        "limit_id": pace.limit_id,
        "tier": pace.tier(),
        "governing_window": pace.governing().map(|window| window.window),
        "windows": pace.windows,
        "advice": {
            "mode": args.mode,
            "max_workers": args.max_workers,
            "workers": pace.workers(args.mode, args.max_workers),
            "parallelism": pace.parallelism(),
        },
        "rate_limits": answer,
    }))
}

/// The report of `cas_rate_limits.mjs`, field by field and in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    ok: bool,
    bucket_source: &'static str,
    bucket_key: Option<&'a str>,
    limit_id: Option<&'a str>,
    limit_name: Option<&'a str>,
    plan_type: Option<&'a str>,
    window_kind: Option<&'static str>,
    now_sec: u64,
    /// Of the window that governs.
    #[serde(flatten)]
    governing: Window,
    primary: Option<Window>,
    secondary: Option<Window>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    used_percent: Value,
    resets_at: Value,
    #[serde(rename = "windowDurationMins")]
    duration_mins: Value,
    remaining_mins: Value,
    elapsed_percent: Value,
    delta_percent: Value,
    tier: Tier,
    tier_reason: &'static str,
    pacing_ok: bool,
    pacing_reason: &'static str,
    effective_tier: Tier,
}

impl<'a> Report<'a> {
    fn new(answer: &Value, limit: Option<&'a RateLimitSnapshot>, pace: &'a Pace, now: u64) -> Self {
        let by_id = answer["rateLimitsByLimitId"]
            .as_object()
            .is_some_and(|buckets| !buckets.is_empty());
        let window = |name| {
            let mut windows = pace.windows.iter();
            windows
                .find(|pace| pace.window == name)
                .map(|pace| Window::new(Some(pace), now))
        };
        let governing = pace.governing();
        Self {
            ok: governing.is_some(),
            bucket_source: match limit {
                None => "missing",
                Some(_) if by_id => "by_limit_id",
                Some(_) => "single_bucket",
            },
            bucket_key: pace.limit_id.as_deref().filter(|_| by_id),
            limit_id: limit.and_then(|limit| limit.limit_id.as_deref()),
            limit_name: limit.and_then(|limit| limit.limit_name.as_deref()),
            plan_type: limit.and_then(|limit| limit.plan_type.as_ref()?.as_str().into()),
            window_kind: governing.map(|pace| pace.window),
            now_sec: now,
            governing: Window::new(governing, now),
            primary: window("primary"),
            secondary: window("secondary"),
        }
    }
}

impl Window {
    /// Of the pace of a window, which may be missing.
    fn new(pace: Option<&WindowPace>, now: u64) -> Self {
        let value = |of: fn(&WindowPace) -> Option<f64>| pace.and_then(of);
        let used = value(|pace| pace.used_percent);
        let delta = value(|pace| pace.delta_percent);
        let resets_at = value(|pace| pace.resets_at);
        let known = delta.is_some();
        let tier = pace.map_or(Tier::Unknown, |pace| pace.tier);
        // A time of this century is exact as a float.
        #[expect(clippy::cast_precision_loss)]
        let left = |at: f64| ((at - now as f64) / 60.0).ceil().max(0.0);
        Self {
            used_percent: number(used),
            resets_at: number(resets_at),
            duration_mins: number(value(|pace| pace.window_duration_mins)),
            remaining_mins: number(resets_at.filter(|_| known).map(left)),
            elapsed_percent: number(value(|pace| pace.elapsed_percent).filter(|_| known)),
            delta_percent: number(delta),
            tier,
            tier_reason: match (used, delta) {
                _ if pace.is_none() => "window_missing",
                (None, _) => "used_unknown",
                (Some(used), _) if used >= 95.0 => "used_ge_95",
                (_, None) => "pacing_unknown",
                (_, Some(delta)) if delta <= -25.0 => "delta_le_-25",
                (_, Some(delta)) if delta <= -10.0 => "delta_le_-10",
                (_, Some(delta)) if delta < 10.0 => "delta_lt_10",
                (_, Some(delta)) if delta < 25.0 => "delta_lt_25",
                _ => "delta_ge_25",
            },
            pacing_ok: known,
            pacing_reason: match pace {
                None => "window_missing",
                Some(_) if known => "ok",
                Some(_) => "missing_fields",
            },
            // What is not known is treated as on track.
            effective_tier: match tier {
                Tier::Unknown => Tier::OnTrack,
                tier => tier,
            },
        }
    }
}

/// As JavaScript writes it: a whole number without a fraction.
fn number(value: Option<f64>) -> Value {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
        Some(value) if value.fract() == 0.0 && value.abs() < 9e15 => (value as i64).into(),
        other => other.into(),
    }
}

fn show(pace: &Pace, plan: Option<&str>, now: u64, args: &Args) -> Result {
    let percent =
        |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.0} %"));
    let plan = plan.map_or_else(String::new, |plan| format!(" ({} plan)", field(plan)));
    line(format_args!(
        "{}{plan}: {}",
        field(pace.limit_id.as_deref().unwrap_or("no limits known")),
        pace.tier()
    ))?;
    for window in &pace.windows {
        line(format_args!(
            "  {:<9} {} used, {} of its time passed{}: {}",
            window.window,
            percent(window.used_percent),
            percent(window.elapsed_percent),
            resets(window, now),
            window.tier
        ))?;
    }
    let parallelism = serde_json::to_value(pace.parallelism())?;
    line(format_args!(
        "advice: {} of {} workers, {}",
        pace.workers(args.mode, args.max_workers),
        args.max_workers,
        parallelism.as_str().unwrap_or_default().replace('_', " ")
    ))
}

/// When the window resets.
fn resets(window: &WindowPace, now: u64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a time"
    )]
    let at = window.resets_at.map(|at| at.max(0.0) as u64);
    match at.and_then(|at| at.checked_sub(now)) {
        Some(left) => format!(", resets in {}", length(Duration::from_secs(left))),
        None => String::new(),
    }
}

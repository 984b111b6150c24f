//! `cas rate-limits`: how the account's allowance stands, and what to make of it.

use std::path::PathBuf;

use cas_sdk::{
    Error, RpcErrorKind,
    budget::{BudgetMode, Pace, RateLimits},
};
use serde_json::{Value, json};

use crate::{
    connect::Server,
    out::{Result, field, json as json_line, line},
};

/// Show how the account's rate limits stand, and how much work they leave room for.
///
/// Compares for each window how much is used with how much of its time has passed. The stricter window governs.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Taken for the sake of orchestrators that give it to every command; there is no thread to remember here
    #[arg(long, value_name = "PATH")]
    #[allow(dead_code, reason = "see above")]
    state_file: Option<PathBuf>,
    /// Pace the work, or ignore the limits
    #[arg(long, value_enum, default_value = "paced")]
    mode: BudgetMode,
    /// How many workers there may be at most
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_workers: usize,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result {
    let client = args.server.client().await?;
    let answer = client
        .request_raw::<Value>("account/rateLimits/read", &Value::Null)
        .await;
    client.shutdown().await;
    let answer = match answer {
        Err(Error::Rpc { source, .. }) if source.kind() == RpcErrorKind::AuthRequired => {
            return Err(format!("{}; log in with `codex login`", source.message).into());
        }
        other => other?,
    };
    let pace = RateLimits::from_response(&answer).pace();
    let report = json!({
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
    });
    if args.json {
        return json_line(&report);
    }
    show(&pace, &args)
}

fn show(pace: &Pace, args: &Args) -> Result {
    let percent =
        |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.0} %"));
    line(format_args!(
        "{}: {}",
        field(pace.limit_id.as_deref().unwrap_or("no limits known")),
        pace.tier()
    ))?;
    for window in &pace.windows {
        line(format_args!(
            "  {:<9} {} used, {} of its time passed: {}",
            window.window,
            percent(window.used_percent),
            percent(window.elapsed_percent),
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

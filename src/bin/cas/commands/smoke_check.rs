//! `cas smoke-check`: whether an app-server does what orchestrators need first.

use std::{path::PathBuf, time::Duration};

use cas_sdk::{CasClient, Error, RpcErrorKind};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    failure::done_if,
    input::given,
    output::{Result, field, json as json_line, line},
    server::{Server, close, start},
    when::millis,
};

/// Check that an app-server knows the methods that orchestrators need.
///
/// Calls experimentalFeature/list, thread/resume and turn/steer. A refusal that shows that the
/// server has the method passes; an unknown method fails. Exits with 0 if all checks pass, 1 if one
/// fails, 2 for wrong flags.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(after_help = "Compatible with cas_smoke_check.zig.")]
pub(crate) struct Args {
    /// The working directory of the app-server
    #[arg(long, value_name = "DIR")]
    cwd: PathBuf,
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH")]
    codex: Option<PathBuf>,
    /// The thread to resume [default: one that is started for the check]
    #[arg(long, value_name = "ID", value_parser = given)]
    thread_id: Option<String>,
    /// How long each request may take; 0 waits for ever
    #[arg(long, value_name = "N", default_value = "15000", value_parser = millis)]
    request_timeout_ms: Duration,
    /// Have the server suppress a notification; may be given several times
    #[arg(long, value_name = "METHOD")]
    opt_out_notification_method: Vec<String>,
    /// Report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A century.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[derive(Debug, Serialize)]
struct Report {
    check: &'static str,
    cwd: String,
    #[serde(rename = "threadId")]
    thread_id: Option<String>,
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

pub(crate) async fn run(args: Args) -> Result {
    let mut report = Report {
        check: "cas-smoke-check",
        cwd: std::path::absolute(&args.cwd)?.display().to_string(),
        thread_id: args.thread_id.clone(),
        ok: false,
        checks: Vec::new(),
    };
    let server = Server {
        codex: args.codex.clone(),
        cwd: Some(args.cwd.clone()),
        ..Server::default()
    };
    let client = server
        .builder()
        .request_timeout(match args.request_timeout_ms {
            Duration::ZERO => FOR_EVER,
            after => after,
        })
        .opt_out_notification_methods(args.opt_out_notification_method.clone());
    let client = start(client).await;
    match client {
        Ok(client) => {
            check(&client, &mut report).await;
            close(&client).await;
        }
        Err(error) => report.checks.push(Check {
            name: "initialize",
            ok: false,
            detail: error.text(),
        }),
    }
    report.ok = report.checks.iter().all(|check| check.ok);
    if args.json {
        json_line(&report)?;
    } else {
        for Check { name, ok, detail } in &report.checks {
            line(format_args!(
                "{} {name}: {}",
                if *ok { "ok  " } else { "FAIL" },
                field(detail)
            ))?;
        }
    }
    done_if(report.ok)
}

async fn check(client: &CasClient, report: &mut Report) {
    let answer = client
        .call::<Value>("experimentalFeature/list", &json!({}))
        .await;
    report
        .checks
        .push(judge("experimentalFeature/list", &answer));

    if report.thread_id.is_none() {
        let started = client
            .call::<Value>("thread/start", &json!({"experimentalRawEvents": false}))
            .await;
        match &started {
            Ok(started) => {
                report.thread_id = started["thread"]["id"].as_str().map(Into::into);
            }
            Err(_) => report.checks.push(judge("thread/start", &started)),
        }
    }
    let nil = "00000000-0000-0000-0000-000000000000";
    let thread = report.thread_id.as_deref().unwrap_or(nil);
    let params = json!({"threadId": thread, "excludeTurns": true});
    let answer = client.call::<Value>("thread/resume", &params).await;
    report.checks.push(judge("thread/resume", &answer));

    let input = json!([{"type": "text", "text": "smoke check", "text_elements": []}]);
    let params = json!({"threadId": thread, "expectedTurnId": nil, "input": input});
    let answer = client.call::<Value>("turn/steer", &params).await;
    report.checks.push(judge("turn/steer", &answer));
}

fn judge(name: &'static str, answer: &Result<Value, Error>) -> Check {
    let (ok, detail) = match answer {
        Ok(_) => (true, "answered".to_owned()),
        Err(Error::Rpc { source, .. }) => {
            let unknown = source.code == -32601 || source.kind() == RpcErrorKind::UnknownMethod;
            // The server lists all methods that it does know; the beginning says enough.
            let text: String = source.message.chars().take(200).collect();
            (!unknown, format!("refused: {text} ({})", source.code))
        }
        Err(other) => (false, other.to_string()),
    };
    Check { name, ok, detail }
}

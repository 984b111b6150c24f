//! `cas doctor`: what there is to work with.

use cas_sdk::{
    find_codex,
    schema::{self, Profile},
};
use serde_json::{Value, json};

use crate::{
    connect::Server,
    out::{Failure, Result, field, json as json_line, line},
    preflight,
};

/// Show which codex is used, whether it speaks the protocol that this program was built with, and who is logged in.
///
/// Drift is no failure: methods and fields that are not built in come through all the same. Exits with 1 if codex can't
/// be found or started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result {
    let program = find_codex(args.server.codex.as_deref())?;
    let client = args.server.client().await?;
    let info = client.server();
    let version = info
        .and_then(|info| info.version())
        .unwrap_or("unknown")
        .to_owned();
    let home = info.map(|info| info.codex_home.clone()).unwrap_or_default();
    let account = client
        .request_raw::<Value>("account/read", &json!({}))
        .await;
    client.shutdown().await;
    let drift = schema::drift(&program).await;
    let contract = preflight::look(&program, &Profile::ALL).await;

    if args.json {
        let account = account.unwrap_or_else(|e| json!({"error": e.to_string()}));
        let drift = match &drift {
            Ok(drift) => {
                json!({"methods": listed(&drift.methods), "fields": listed(&drift.fields)})
            }
            Err(error) => json!({"error": error.to_string()}),
        };
        let contract = match &contract {
            Ok(contract) => json!({"ok": contract.is_met(), "unmet": preflight::unmet(contract)}),
            Err(error) => json!({"error": error.to_string()}),
        };
        return json_line(&json!({
            "codex": program, "version": version, "codexHome": home, "account": account, "drift": drift, "contract": contract,
        }));
    }
    line(format_args!(
        "codex    {}",
        field(&program.display().to_string())
    ))?;
    line(format_args!("version  {}", field(&version)))?;
    line(format_args!("home     {}", field(&home)))?;
    line(format_args!("account  {}", field(&login(&account))))?;
    if let Ok(contract) = contract {
        line(format_args!("needs    {}", field(&contract.to_string())))?;
    }
    match drift {
        Ok(drift) if drift.is_empty() => line("schema   as built in"),
        Ok(drift) => line(format_args!(
            "schema   differs from the one that is built in\n{drift}"
        )),
        Err(error) => {
            line(format_args!("schema   can't be compared: {error}"))?;
            Err(Failure::Exit(1))
        }
    }
}

fn login(account: &Result<Value, cas_sdk::Error>) -> String {
    let account = match account {
        Ok(answer) => answer,
        Err(error) => return format!("can't be read: {error}"),
    };
    let text = |key: &str| account["account"][key].as_str();
    match (text("type"), account["requiresOpenaiAuth"].as_bool()) {
        (Some(kind), _) => [Some(kind), text("email"), text("planType")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
        (None, Some(false)) => "none, and none is needed".to_owned(),
        (None, _) => "not logged in; use `codex login`".to_owned(),
    }
}

fn listed(changes: &schema::Changes) -> Value {
    let others: Vec<Value> = (changes.changed.iter())
        .map(|one| json!({"name": one.name, "was": one.was, "is": one.is}))
        .collect();
    json!({"added": changes.added, "removed": changes.removed, "changed": others})
}

//! `cas doctor`: which codex is used, and whether it can be.

use std::{path::PathBuf, time::Duration};

use anstyle::AnsiColor;
use cas_sdk::{
    CasClient, Filter, RpcErrorKind, find_codex,
    schema::{self, Contract, Drift, DriftError, Profile},
};
use serde::{Serialize, de::IgnoredAny};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::preflight;
use crate::{
    failure::FAILED,
    output::{Failure, Result, Styled, json as json_line, line},
    reason::reason,
    screen::{BOLD, DIM},
    server::{Server, close, join},
};

/// Show which codex is used, whether it speaks the protocol that this program was built with, and
/// who is logged in.
///
/// Drift is not a failure: methods and fields that are not built in are passed through. Exits with
/// 1 if codex can't be found or started. For a running server (--connect), drift can't be
/// determined.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 codex can be used, 1 it can't be found or started, 2 wrong usage."
)]
pub(crate) struct Args {
    /// List the differences
    #[arg(long, short, help_heading = "Output")]
    verbose: bool,
    /// Report as JSON, whatever is wrong
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
}

/// How long to wait for warnings about the configuration, once the server has answered something.
const WARNINGS: Duration = Duration::from_millis(200);

/// The release of codex whose schema is built in.
fn built_for() -> &'static str {
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/VERSION")).trim()
}

/// The findings. A value that could not be determined is an error in its place.
#[derive(Debug, Default)]
struct Findings {
    codex: Option<PathBuf>,
    address: Option<String>,
    version: Option<String>,
    home: Option<String>,
    account: Option<Result<Value, String>>,
    config: Option<Result<(), String>>,
    warnings: Vec<String>,
    drift: Option<Result<Drift, DriftError>>,
    contract: Option<Result<Contract, String>>,
    error: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result {
    let mut found = Findings::default();
    if let Err(failure) = look(&args, &mut found).await {
        found.error = Some(failure.text());
    }
    if args.json {
        json_line(&found.report())?;
    } else {
        found.show(args.verbose)?;
    }
    match found.error {
        None => Ok(()),
        Some(_) if args.json => Err(Failure::Exit(FAILED)),
        Some(error) => Err(Failure::Status(FAILED, error)),
    }
}

async fn look(args: &Args, found: &mut Findings) -> Result {
    if let Some(endpoint) = args.server.connect.endpoint()? {
        found.address = Some(endpoint.to_string());
        // A server that is only too old can be looked at.
        let client = join(args.server.builder(), endpoint.any_version()).await?;
        with_server(&client, found).await;
        let contract = schema::contract_of(&client, preflight::needs(&Profile::ALL)).await;
        found.contract = Some(contract.map_err(|error| error.to_string()));
        close(&client).await;
        return rejected(found);
    }
    let program = find_codex(args.server.codex.as_deref())?;
    found.codex = Some(program.clone());
    let started = args.server.client().await;
    if let Ok(client) = &started {
        with_server(client, found).await;
        close(client).await;
    }
    // The schema can be had from a codex whose server does not start.
    let drift = schema::drift(&program).await;
    let contract = preflight::look(&program, &Profile::ALL).await;
    started?;
    found.drift = Some(drift);
    found.contract = Some(contract.map_err(|error| error.to_string()));
    rejected(found)?;
    if let Some(Err(error)) = &found.drift {
        return Err(reason(error).into());
    }
    Ok(())
}

fn rejected(found: &Findings) -> Result {
    match &found.config {
        Some(Err(error)) => Err(format!("codex rejects its configuration: {error}").into()),
        Some(Ok(())) | None => Ok(()),
    }
}

async fn with_server(client: &CasClient, found: &mut Findings) {
    let mut warnings = client.events(Filter::all().method("configWarning"));
    if let Some(info) = client.server() {
        found.version = info.version().map(str::to_owned);
        found.home = Some(info.codex_home.clone());
    }
    let account = client.call::<Value>("account/read", &json!({})).await;
    found.account = Some(account.map_err(|error| error.to_string()));
    // It answers with the defaults or not at all where the file is wrong, and a thread can't be
    // started then.
    let config = client
        .call::<IgnoredAny>("config/read", &json!({"includeLayers": false}))
        .await;
    found.config = Some(match config {
        Ok(_) => Ok(()),
        Err(error) => match error.rpc_kind() {
            // Older than that.
            Some(RpcErrorKind::UnknownMethod) | None => Ok(()),
            Some(_) => Err(error
                .rpc()
                .map_or_else(String::new, |rpc| rpc.message.clone())),
        },
    });
    while let Ok(Some(Ok(event))) = timeout(WARNINGS, warnings.next()).await {
        let params: Value = event.params_as().unwrap_or_default();
        let text = |key: &str| params[key].as_str();
        let parts = [text("summary"), text("details"), text("path")];
        found
            .warnings
            .push(parts.into_iter().flatten().collect::<Vec<_>>().join(": "));
    }
}

/// The report of `--json`, in this order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    ok: bool,
    error: Option<&'a str>,
    codex: Option<&'a PathBuf>,
    address: Option<&'a str>,
    version: Option<&'a str>,
    built_for: &'static str,
    codex_home: Option<&'a str>,
    account: Value,
    config_warnings: &'a [String],
    drift: Value,
    contract: Value,
}

impl Findings {
    fn report(&self) -> Report<'_> {
        Report {
            ok: self.error.is_none(),
            error: self.error.as_deref(),
            codex: self.codex.as_ref(),
            address: self.address.as_deref(),
            version: self.version.as_deref(),
            built_for: built_for(),
            codex_home: self.home.as_deref(),
            account: match &self.account {
                Some(Ok(account)) => account.clone(),
                Some(Err(error)) => json!({ "error": error }),
                None => Value::Null,
            },
            config_warnings: &self.warnings,
            drift: match &self.drift {
                Some(Ok(drift)) => {
                    json!({"methods": listed(&drift.methods), "fields": listed(&drift.fields)})
                }
                Some(Err(error)) => json!({"error": error.to_string()}),
                None => Value::Null,
            },
            contract: match &self.contract {
                Some(Ok(contract)) => {
                    json!({"ok": contract.is_met(), "unmet": preflight::unmet(contract)})
                }
                Some(Err(error)) => json!({ "error": error }),
                None => Value::Null,
            },
        }
    }

    fn show(&self, verbose: bool) -> Result {
        if let Some(codex) = &self.codex {
            let version = self.version.as_deref().unwrap_or("of an unknown version");
            good("codex", &format!("{version}  {}", codex.display()))?;
        }
        if let (Some(address), true) = (&self.address, self.home.is_some()) {
            let version = self.version.as_deref().unwrap_or("of an unknown version");
            good("server", &format!("{version}  {address}"))?;
        }
        if let Some(home) = &self.home {
            good("home", home)?;
        }
        match &self.config {
            Some(Err(error)) => bad("config", error)?,
            Some(Ok(())) if self.warnings.is_empty() => good("config", "read without a warning")?,
            Some(Ok(())) | None => {}
        }
        for warning in &self.warnings {
            warn("config", warning)?;
        }
        match &self.account {
            None => {}
            Some(Err(error)) => bad("account", &format!("can't be read: {error}"))?,
            Some(Ok(account)) => match login(account) {
                (true, text) => good("account", &text)?,
                (false, text) => warn("account", &text)?,
            },
        }
        match &self.contract {
            Some(Ok(contract)) if contract.is_met() => good("needs", &contract.to_string())?,
            Some(Ok(contract)) => warn("needs", &contract.to_string())?,
            Some(Err(_)) | None => {}
        }
        if let Some(Ok(drift)) = &self.drift {
            let text = self.protocol(drift);
            if drift.is_empty() {
                good("protocol", &text)?;
            } else {
                warn("protocol", &text)?;
            }
            if verbose && !drift.is_empty() {
                line(drift)?;
            }
        }
        Ok(())
    }

    /// How the protocol of this codex differs from the one that is built in.
    fn protocol(&self, drift: &Drift) -> String {
        let built = built_for();
        if drift.is_empty() {
            return format!("the same as built in, of codex {built}");
        }
        let yours = self.version.as_deref().unwrap_or("unknown");
        let than = match numbers(yours).cmp(&numbers(built)) {
            std::cmp::Ordering::Less => " is older",
            std::cmp::Ordering::Equal => "",
            std::cmp::Ordering::Greater => " is newer",
        };
        let count = |changes: &schema::Changes| {
            format!("+{}/−{}", changes.added.len(), changes.removed.len())
        };
        format!(
            "built for codex {built}; yours, {yours},{than}: {} methods, {} fields (--verbose lists them)",
            count(&drift.methods),
            count(&drift.fields)
        )
    }
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

fn good(name: &str, text: &str) -> Result {
    entry("✓", AnsiColor::Green, name, text)
}

fn warn(name: &str, text: &str) -> Result {
    entry("!", AnsiColor::Yellow, name, text)
}

fn bad(name: &str, text: &str) -> Result {
    entry("✗", AnsiColor::Red, name, text)
}

fn entry(mark: &str, colour: AnsiColor, name: &str, text: &str) -> Result {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    Styled::default()
        .paint(colour.on_default(), mark)
        .plain(" ")
        .paint(BOLD, &format!("{name:<9}"))
        .plain(first)
        .print()?;
    for more in lines {
        Styled::default()
            .paint(DIM, &format!("           {more}"))
            .print()?;
    }
    Ok(())
}

/// Whether models can be asked, and as whom.
fn login(account: &Value) -> (bool, String) {
    let text = |key: &str| account["account"][key].as_str();
    match (text("type"), account["requiresOpenaiAuth"].as_bool()) {
        (Some(kind), _) => {
            let parts = [Some(kind), text("email"), text("planType")];
            (
                true,
                parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
            )
        }
        (None, Some(false)) => (true, "none, and none is needed".to_owned()),
        (None, _) => (false, "not logged in; use `cas login`".to_owned()),
    }
}

fn listed(changes: &schema::Changes) -> Value {
    let others: Vec<Value> = (changes.changed.iter())
        .map(|one| json!({"name": one.name, "was": one.was, "is": one.is}))
        .collect();
    json!({"added": changes.added, "removed": changes.removed, "changed": others})
}

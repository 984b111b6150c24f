//! `cas threads list`.

use std::path::Path;

use cas_sdk::CasClient;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    input::given,
    output::{Result, cell, raw_json},
    screen::Table,
    server::{Server, list, parsed, short, title},
    when::ago,
};

/// List the stored threads, last updated first
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct Args {
    /// Only the threads of the working directory
    #[arg(long)]
    here: bool,
    /// List the archived threads instead
    #[arg(long)]
    archived: bool,
    /// List threads of every model provider and kind, sub-agents included, not only the interactive
    /// ones of the configured provider
    #[arg(long, short)]
    all: bool,
    /// Only threads with this in their title
    #[arg(long, value_name = "TEXT", value_parser = given)]
    search: Option<String>,
    /// The maximum number of threads; 0 means all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one JSON object per line, as the server sent it
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
}

impl Args {
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }
}

/// Turns are counted only for lists of at most this many threads.
const COUNTED: usize = 200;
/// The maximum number of turns that are counted.
const TURNS: usize = 100;

pub(super) async fn run(client: &CasClient, args: &Args) -> Result {
    let limit = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    let mut params = if args.all {
        crate::server::every_thread(args.archived)
    } else {
        serde_json::Map::new()
    };
    if args.here {
        let cwd = args.server.dir()?.display().to_string();
        params.insert("cwd".into(), cwd.into());
    }
    params.insert("archived".into(), args.archived.into());
    params.insert("searchTerm".into(), args.search.clone().into());
    params.insert("sortKey".into(), "updated_at".into());
    params.insert("limit".into(), limit.min(100).into());
    let threads = list(client, "thread/list", params, limit).await?;
    if args.json {
        return threads.iter().try_for_each(|thread| raw_json(thread.get()));
    }
    let threads: Vec<Value> = threads.iter().map(|thread| parsed(thread)).collect();
    let counts = match threads.len() {
        0..=COUNTED => join_all(threads.iter().map(|thread| turns(client, thread))).await,
        _ => vec!["?".to_owned(); threads.len()],
    };
    let home = std::env::home_dir();
    let mut table = Table::new(&["ID", "UPDATED", "#TURNS", "MODEL", "DIRECTORY", "TITLE"]);
    for (thread, turns) in threads.iter().zip(counts) {
        let text = |key: &str| thread[key].as_str().unwrap_or_default();
        table.row([
            short(text("id")).to_owned(),
            ago(thread["updatedAt"].as_i64().unwrap_or_default()),
            turns,
            text("model").to_owned(),
            cell(&tilde(text("cwd"), home.as_deref()), 40),
            title(thread).to_owned(),
        ]);
    }
    if table.is_empty() {
        Ok(())
    } else {
        table.print()
    }
}

/// How many turns a thread has.
async fn turns(client: &CasClient, thread: &Value) -> String {
    let params = json!({"threadId": thread["id"], "itemsView": "notLoaded", "limit": TURNS});
    let answer: Result<Value, _> = client.call("thread/turns/list", &params).await;
    let page = answer.unwrap_or_default();
    match (page["data"].as_array(), &page["nextCursor"]) {
        (None, _) => "?".to_owned(),
        (Some(turns), Value::Null) => turns.len().to_string(),
        (Some(turns), _) => format!("{}+", turns.len()),
    }
}

/// A path with `~` for the home of the user.
pub(crate) fn tilde(path: &str, home: Option<&Path>) -> String {
    match home.and_then(|home| Path::new(path).strip_prefix(home).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => path.to_owned(),
    }
}

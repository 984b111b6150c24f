//! `cas threads` and `cas steer`: what is stored, and what runs.

use std::time::Duration;

use cas_sdk::{CasClient, Thread};
use serde_json::{Map, Value, json};

use crate::{
    connect::{Server, list},
    out::{Failure, Result, cell, field, json as json_line, line, raw_json},
};

/// List, read, resume, fork, archive and compact threads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the stored threads, last updated first
    List {
        #[command(flatten)]
        server: Server,
        /// Only threads of the working directory
        #[arg(long)]
        here: bool,
        /// The archived ones instead
        #[arg(long)]
        archived: bool,
        /// Only threads with this in their title
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Read a thread without loading it
    Read {
        #[command(flatten)]
        one: One,
        /// With its turns and their items
        #[arg(long)]
        turns: bool,
    },
    /// Load a stored thread, to see whether that works
    Resume(One),
    /// Make a new thread with the history of another; prints its id
    Fork(One),
    /// Put a thread away
    Archive(One),
    /// Take a thread out of the archive
    Unarchive(One),
    /// Have the history of a thread summarised; waits for the end of it
    Compact(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The id of the thread
    #[arg(value_name = "ID")]
    thread: String,
    #[command(flatten)]
    server: Server,
    /// Print what the server answers, as JSON
    #[arg(long)]
    json: bool,
}

/// Add input to a turn that is running.
#[derive(Debug, clap::Args)]
pub(crate) struct Steer {
    /// The thread
    thread: String,
    /// The turn that is expected to run
    turn: String,
    /// What to say
    text: String,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn steer(args: Steer) -> Result {
    let client = args.server.client().await?;
    let steered = async {
        client.resume_thread(args.thread.as_str()).await?;
        let input = json!([{"type": "text", "text": args.text, "text_elements": []}]);
        let params = json!({"threadId": args.thread, "expectedTurnId": args.turn, "input": input});
        client.request_raw::<Value>("turn/steer", &params).await?;
        line(format_args!("steered turn {}", field(&args.turn)))
    };
    let done = steered.await;
    client.shutdown().await;
    done
}

pub(crate) async fn run(args: Args) -> Result {
    let server = match &args.action {
        Action::List { server, .. } => server,
        Action::Read { one, .. }
        | Action::Resume(one)
        | Action::Fork(one)
        | Action::Archive(one)
        | Action::Unarchive(one)
        | Action::Compact(one) => &one.server,
    };
    let client = server.client().await?;
    let done = act(&client, &args.action).await;
    client.shutdown().await;
    done
}

async fn act(client: &CasClient, action: &Action) -> Result {
    match action {
        Action::List {
            server,
            here,
            archived,
            search,
            limit,
            json,
        } => {
            let mut params = Map::new();
            if *here {
                let cwd = server.cwd.clone().map_or_else(std::env::current_dir, Ok)?;
                params.insert(
                    "cwd".into(),
                    std::path::absolute(cwd)?.display().to_string().into(),
                );
            }
            params.insert("archived".into(), (*archived).into());
            params.insert("searchTerm".into(), search.clone().into());
            params.insert("sortKey".into(), "updated_at".into());
            params.insert("limit".into(), (*limit).min(100).into());
            for thread in list(client, "thread/list", params, *limit).await? {
                if *json {
                    json_line(&thread)?;
                } else {
                    let text = |key: &str| thread[key].as_str().unwrap_or_default();
                    let title = if text("name").is_empty() {
                        text("preview")
                    } else {
                        text("name")
                    };
                    line(format_args!(
                        "{}  {}  {}",
                        field(text("id")),
                        age(&thread["updatedAt"]),
                        cell(title, 80)
                    ))?;
                }
            }
            Ok(())
        }
        Action::Read { one, turns } => {
            let params = json!({"threadId": one.thread, "includeTurns": false});
            let mut answer: Value = client.request_raw("thread/read", &params).await?;
            if *turns {
                let params =
                    json!({"threadId": one.thread, "itemsView": "full", "sortDirection": "asc"});
                let Value::Object(params) = params else {
                    return Ok(());
                };
                answer["thread"]["turns"] = list(client, "thread/turns/list", params, usize::MAX)
                    .await?
                    .into();
            }
            show(one, &answer["thread"])
        }
        Action::Resume(one) => {
            let thread = client.resume_thread(one.thread.as_str()).await?;
            opened(one, &thread)
        }
        Action::Fork(one) => {
            let thread = client.fork_thread(one.thread.as_str()).await?;
            opened(one, &thread)
        }
        Action::Archive(one) => plain(client, one, "thread/archive", "archived").await,
        Action::Unarchive(one) => plain(client, one, "thread/unarchive", "unarchived").await,
        Action::Compact(one) => {
            let thread = client.resume_thread(one.thread.as_str()).await?;
            thread.compact().await?.finish().await?;
            line(format_args!("compacted {}", field(&one.thread)))
        }
    }
}

async fn plain(client: &CasClient, one: &One, method: &str, done: &str) -> Result {
    let params = json!({"threadId": one.thread});
    let answer: Value = client.request_raw(method, &params).await?;
    if one.json {
        json_line(&answer)
    } else {
        line(format_args!("{done} {}", field(&one.thread)))
    }
}

fn opened(one: &One, thread: &Thread) -> Result {
    if one.json {
        return raw_json(thread.opened());
    }
    line(field(thread.id()))
}

fn show(one: &One, thread: &Value) -> Result {
    if one.json {
        return json_line(thread);
    }
    if thread.is_null() {
        return Err(Failure::from("the server answered without a thread"));
    }
    for key in [
        "id",
        "name",
        "preview",
        "cwd",
        "model",
        "modelProvider",
        "createdAt",
        "updatedAt",
    ] {
        match &thread[key] {
            Value::Null => {}
            Value::String(text) => line(format_args!("{key}: {}", field(text)))?,
            other => line(format_args!("{key}: {}", field(&other.to_string())))?,
        }
    }
    for turn in thread["turns"].as_array().into_iter().flatten() {
        line(format_args!(
            "turn {} ({})",
            field(text_of(&turn["id"])),
            field(text_of(&turn["status"]))
        ))?;
        for item in turn["items"].as_array().into_iter().flatten() {
            let text = crate::mine_text::text(item);
            line(format_args!(
                "  {}: {}",
                field(text_of(&item["type"])),
                cell(&text, 160)
            ))?;
        }
    }
    Ok(())
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// How long ago something was, in the largest unit that fits.
fn age(seconds: &Value) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let then = Duration::from_secs(seconds.as_u64().unwrap_or_default());
    let ago = now.unwrap_or_default().saturating_sub(then).as_secs();
    let (number, unit) = match ago {
        0..120 => (ago, "s"),
        120..7_200 => (ago / 60, "m"),
        7_200..172_800 => (ago / 3_600, "h"),
        _ => (ago / 86_400, "d"),
    };
    format!("{:>5}", format!("{number}{unit}"))
}

//! `cas threads`: stored threads.

mod list;
mod show;
mod stop;

pub(crate) use list::tilde;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use cas_sdk::{CasClient, Thread, protocol::ThreadForkParams};
use serde_json::{Value, json, value::RawValue};

use crate::{
    files::NewFile,
    input::given,
    output::{Failure, Result, field, json as json_line, line, raw_json},
    server::{OneThread, close, list as all_of, parsed, thread_named, title},
};

/// List, show, export, name, resume, fork, stop, archive, compact and delete threads.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cas threads list --here
  cas threads show 019a2b3c-4d5e
  cas threads export 019a2b3c-4d5e -o session.md
  cas threads list --json | jq -r .id

A thread is named by its id, or by the beginning of it.";

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(list::Args),
    /// Show a thread: its messages and its steps
    Show {
        #[command(flatten)]
        one: OneThread,
    },
    /// Write a thread into a file, as Markdown or JSON
    Export {
        #[command(flatten)]
        one: OneThread,
        /// The file [default: standard output]
        #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Output")]
        output: Option<PathBuf>,
        /// Replace the file if it exists
        #[arg(long, requires = "output", help_heading = "Output")]
        force: bool,
    },
    /// Read a stored thread without loading it
    Read {
        #[command(flatten)]
        one: OneThread,
        /// Include its turns and their items
        #[arg(long)]
        turns: bool,
    },
    /// Give a thread a name
    Name {
        #[command(flatten)]
        one: OneThread,
        /// The name
        #[arg(value_parser = given)]
        name: String,
    },
    /// Load a stored thread, to check that this works
    Resume(OneThread),
    /// Make a new thread with the history of another, and print its id
    Fork(OneThread),
    /// Pause the goal of a thread, and end everything that it runs in this app-server: turn,
    /// sub-agents, shells
    ///
    /// A turn that runs in the app-server of another program is not stopped.
    Stop(OneThread),
    /// Archive a thread
    Archive(OneThread),
    /// Take a thread out of the archive
    Unarchive(OneThread),
    /// Have the history of a thread summarised, and wait until that is done
    Compact(OneThread),
    /// Delete a thread permanently
    Delete {
        #[command(flatten)]
        one: OneThread,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

impl Args {
    pub(crate) fn json(&self) -> bool {
        match &self.action {
            Action::List(args) => args.json,
            other => other.one().is_some_and(|one| one.json),
        }
    }
}

impl Action {
    fn one(&self) -> Option<&OneThread> {
        match self {
            Self::List(_) => None,
            Self::Show { one }
            | Self::Export { one, .. }
            | Self::Read { one, .. }
            | Self::Name { one, .. }
            | Self::Delete { one, .. }
            | Self::Resume(one)
            | Self::Fork(one)
            | Self::Stop(one)
            | Self::Archive(one)
            | Self::Unarchive(one)
            | Self::Compact(one) => Some(one),
        }
    }
}

pub(crate) async fn run(args: Args) -> Result {
    let server = match &args.action {
        Action::List(args) => args.server(),
        other => &other.one().ok_or("no thread is named")?.server,
    };
    // Before a server is started, so that it need not be when the file can't be written.
    let file = match &args.action {
        Action::Export {
            output: Some(path),
            force,
            ..
        } => Some(NewFile::create(path, *force)?),
        _ => None,
    };
    if matches!(args.action, Action::Delete { yes: false, .. }) && !io::stdin().is_terminal() {
        let text = "deleting a thread is permanent: give --yes, or confirm it on a terminal";
        return Err(Failure::Usage(text.to_owned()));
    }
    let client = server.client().await?;
    let done = match &args.action {
        Action::List(args) => list::run(&client, args).await,
        other => match other.one() {
            Some(one) => act(&client, other, one, file).await,
            None => Ok(()),
        },
    };
    close(&client).await;
    done
}

async fn act(
    client: &CasClient,
    action: &Action,
    one: &OneThread,
    file: Option<NewFile>,
) -> Result {
    let id = thread_named(client, &one.thread).await?;
    match action {
        Action::List(_) => Ok(()),
        Action::Show { .. } => {
            let thread = read(client, &id, true).await?;
            if one.json {
                raw_json(thread.get())
            } else {
                show::on_terminal(&parsed(&thread))
            }
        }
        Action::Export { .. } => {
            let thread = read(client, &id, true).await?;
            let text = if one.json {
                format!("{}\n", thread.get())
            } else {
                show::as_markdown(&parsed(&thread))
            };
            match file {
                Some(file) => file.write(&text),
                None if one.json => raw_json(thread.get()),
                None => line(text.trim_end()),
            }
        }
        Action::Read { turns, .. } => {
            let thread = read(client, &id, *turns).await?;
            if one.json {
                raw_json(thread.get())
            } else {
                show::as_fields(&parsed(&thread))
            }
        }
        Action::Name { name, .. } => {
            let params = json!({"threadId": id, "name": name});
            let answer: Box<RawValue> = client.call("thread/name/set", &params).await?;
            one.report(&answer, format_args!("named {}", field(&id)))
        }
        Action::Resume(_) => opened(one, &client.resume_thread(id.as_str()).await?),
        Action::Fork(_) => {
            let mut params = ThreadForkParams::new(id);
            params.cwd = one.server.other_dir()?;
            opened(one, &client.fork_thread(params).await?)
        }
        Action::Stop(_) => {
            // A thread that does not exist has nothing to stop.
            read(client, &id, false).await?;
            stop::run(&client.thread(id.as_str()), one.json).await
        }
        Action::Archive(_) => plain(client, one, &id, "thread/archive", "archived").await,
        Action::Unarchive(_) => plain(client, one, &id, "thread/unarchive", "unarchived").await,
        Action::Delete { yes, .. } => {
            if !yes {
                confirm(client, &id).await?;
            }
            plain(client, one, &id, "thread/delete", "deleted").await
        }
        Action::Compact(_) => {
            let thread = client.resume_thread(id.as_str()).await?;
            let outcome = thread.compact().await?.finish().await?;
            if one.json {
                return json_line(&json!({"threadId": id, "turnId": outcome.turn_id}));
            }
            line(format_args!("compacted {}", field(&id)))
        }
    }
}

/// Asks whether the thread is meant.
async fn confirm(client: &CasClient, id: &str) -> Result {
    let thread = parsed(&read(client, id, false).await?);
    let mut err = io::stderr();
    let title = crate::output::cell(title(&thread), 60);
    let _ = write!(
        err,
        "cas: delete {} \"{title}\" permanently? [y/N] ",
        field(id)
    );
    let mut typed = crate::stdio::Typed::open()?;
    match typed
        .line()
        .await
        .unwrap_or_default()
        .trim()
        .to_lowercase()
        .as_str()
    {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Status(
            crate::failure::DECLINED,
            "nothing was deleted".to_owned(),
        )),
    }
}

/// A thread as it is stored, and its turns if they are wanted.
async fn read(client: &CasClient, id: &str, turns: bool) -> Result<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Answer {
        thread: Box<RawValue>,
    }
    let params = json!({"threadId": id, "includeTurns": false});
    let Answer { thread } = client.call("thread/read", &params).await?;
    if !turns {
        return Ok(thread);
    }
    let params = json!({"threadId": id, "itemsView": "full", "sortDirection": "asc"});
    let Value::Object(params) = params else {
        return Ok(thread);
    };
    let turns = all_of(client, "thread/turns/list", params, usize::MAX).await?;
    // The turns take the place of the empty list that stands there, and all else stays as the
    // server wrote it.
    let turns = serde_json::to_string(&turns)?;
    let text = thread.get();
    let whole = if let Some((before, after)) = text.rsplit_once(r#""turns":[]"#) {
        format!("{before}\"turns\":{turns}{after}")
    } else {
        let mut thread: Value = serde_json::from_str(text)?;
        thread["turns"] = serde_json::from_str(&turns)?;
        thread.to_string()
    };
    Ok(RawValue::from_string(whole)?)
}

async fn plain(client: &CasClient, one: &OneThread, id: &str, method: &str, done: &str) -> Result {
    let params = json!({"threadId": id});
    let answer: Box<RawValue> = client.call(method, &params).await?;
    one.report(&answer, format_args!("{done} {}", field(id)))
}

fn opened(one: &OneThread, thread: &Thread) -> Result {
    if one.json {
        return raw_json(thread.json());
    }
    line(field(thread.id()))
}

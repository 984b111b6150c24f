//! `cas live`: what runs where, and what waits for an answer.

use std::{env, io::IsTerminal as _, path::Path, time::Duration};

use cas_sdk::{
    Error, Live,
    error::ConnectErrorKind,
    live::{Holder, LiveServer, LiveStatus, LiveThread, ThreadRole, Unreachable},
};
use tokio::time::sleep;

use super::threads::tilde;
use crate::{
    connect::Connect,
    failure::{DONE, FAILED},
    output::{Failure, Result, cell, fail, json as json_line, line, verbatim},
    reason::reason,
    screen::{Table, height, is_dumb},
    server::short,
    signals::{Caught, Signals},
    when::duration,
};

/// List the running codex servers, the threads that they have loaded, and what waits for an answer.
///
/// Looks at the server of a plain `codex`, at the one of --connect, and, on Linux, at sessions that
/// no server shares, such as those of `codex exec`. Nothing is started, changed or answered.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Include the helper threads of the TUI
    #[arg(long, short)]
    all: bool,
    /// Keep watching, and show changes until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// The interval of --watch
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s", requires = "watch")]
    every: Duration,
    /// Print everything as one JSON object; with --watch, one per line for each change
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cas live
  cas live --watch
  cas live --connect unix:///run/user/1000/agent/codex.sock --json

Exit status: 0 done, 1 the server of --connect can't be reached, 2 wrong usage.";

pub(crate) async fn run(args: Args, signals: &mut Signals) -> Result<u8> {
    let endpoint = args.connect.endpoint()?;
    let named = endpoint.as_ref().map(ToString::to_string);
    let mut shown = None;
    loop {
        let mut discover = Live::discover();
        if let Some(endpoint) = &endpoint {
            discover = discover.endpoint(endpoint.clone());
        }
        let live = tokio::select! {
            biased;
            caught = signals.next() => return left(&args, caught),
            live = discover.into_future() => live,
        };
        let text = serde_json::to_string(&live)?;
        if shown.as_ref() != Some(&text) {
            args.show(&live, named.as_deref())?;
            shown = Some(text);
        }
        if !args.watch {
            let lost = { live.unreachable.iter() }.find(|place| is_named(place, named.as_deref()));
            return Ok(match lost {
                Some(place) => {
                    fail(&reason(&place.error));
                    FAILED
                }
                None => DONE,
            });
        }
        tokio::select! {
            biased;
            caught = signals.next() => return left(&args, caught),
            () = sleep(args.every.max(SHORTEST)) => {}
        }
    }
}

const SHORTEST: Duration = Duration::from_millis(100);

fn left(args: &Args, caught: Caught) -> Result<u8> {
    if args.watch {
        caught.leaves()
    } else {
        Err(Failure::Signal(caught))
    }
}

impl Args {
    fn show(&self, live: &Live, named: Option<&str>) -> Result {
        if self.json {
            return json_line(live);
        }
        let redraws = self.watch && std::io::stdout().is_terminal() && !is_dumb();
        if redraws {
            // Moves the cursor to the upper left and clears the screen from there.
            verbatim("\x1b[H\x1b[J")?;
        }
        // Without --watch, the command fails if the named server can't be reached, so the table
        // does not list it.
        let is_told = |place: &&Unreachable| {
            if is_named(place, named) {
                self.watch
            } else {
                !is_nobody(place)
            }
        };
        let unreachable = live.unreachable.iter().filter(is_told).collect();
        let mut rows = rows(live, unreachable, self.all);
        if rows.is_empty() {
            let mut unreachable = live.unreachable.iter();
            if unreachable.any(|place| is_named(place, named)) {
                return Ok(());
            }
            return line("nothing runs");
        }
        let room = height()
            .filter(|_| redraws)
            .map(|rows| rows.saturating_sub(3));
        let hidden = room.map_or(0, |room| rows.len().saturating_sub(room.max(1)));
        rows.truncate(rows.len() - hidden);
        let mut table = Table::new(&["ID", "STATUS", "DIRECTORY", "TITLE", "SERVER"]);
        for row in rows {
            table.row(row);
        }
        table.print()?;
        match hidden {
            0 => Ok(()),
            more => line(format_args!("… {more} more")),
        }
    }
}

type Row = [String; 5];

/// Threads that wait for an answer come first, then those that run.
fn rows(live: &Live, unreachable: Vec<&Unreachable>, all: bool) -> Vec<Row> {
    let home = env::home_dir();
    let mut rows: Vec<(u8, Row)> = Vec::new();
    for server in &live.servers {
        let address = place(server, home.as_deref());
        let threads: Vec<_> = server
            .threads
            .iter()
            .filter(|thread| all || thread.role != ThreadRole::Helper)
            .collect();
        if threads.is_empty() {
            let row = ["", "no thread", "", "", &address];
            rows.push((4, row.map(str::to_owned)));
        }
        for thread in threads {
            let (order, status) = status(thread);
            let cwd = tilde(&thread.cwd.display().to_string(), home.as_deref());
            let mark = match thread.role {
                ThreadRole::SubAgent { .. } => "↳ ",
                _ => "",
            };
            let title = cell(&format!("{mark}{}", thread.title()), 40);
            let id = short(&thread.id).to_owned();
            rows.push((order, [id, status, cell(&cwd, 32), title, address.clone()]));
        }
    }
    for thread in &live.held {
        let holder = match thread.holder {
            Holder::Tui => "codex",
            Holder::Exec => "codex exec",
            Holder::AppServer => "an app-server",
            _ => "another program",
        };
        let cwd = thread.cwd.as_ref().map(|cwd| cwd.display().to_string());
        let cwd = tilde(&cwd.unwrap_or_default(), home.as_deref());
        let title = thread.title.as_deref().unwrap_or_default();
        rows.push((
            3,
            [
                short(&thread.id).to_owned(),
                "open".to_owned(),
                cell(&cwd, 32),
                cell(title, 40),
                format!("none: {holder}, pid {}", thread.pid),
            ],
        ));
    }
    for place in unreachable {
        let row = ["", "unreachable", "", "", &place.error.to_string()];
        rows.push((5, row.map(str::to_owned)));
    }
    rows.sort_by_key(|(order, _)| *order);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// What a thread does, and its place in the table.
fn status(thread: &LiveThread) -> (u8, String) {
    let (order, text) = match &thread.status {
        _ if thread.waits_for_approval => (0, "waits for an approval"),
        _ if thread.waits_for_input => (0, "waits for an answer"),
        LiveStatus::Active => (1, "runs"),
        LiveStatus::Idle => (2, "idle"),
        LiveStatus::SystemError => (2, "failed"),
        LiveStatus::NotLoaded => (3, "closed"),
        LiveStatus::Unreadable(_) => (3, "unreadable"),
        LiveStatus::Other(other) => return (3, other.clone()),
        _ => (3, "unknown"),
    };
    (order, text.to_owned())
}

/// The address for `--connect`.
fn place(server: &LiveServer, home: Option<&Path>) -> String {
    let control = server
        .home
        .join("app-server-control/app-server-control.sock");
    let address = server.endpoint.to_string();
    let path = address.strip_prefix("unix://").unwrap_or(&address);
    let own = env::var_os("CODEX_HOME").filter(|dir| !dir.is_empty());
    let own = own
        .map(std::path::PathBuf::from)
        .or_else(|| Some(home?.join(".codex")));
    if Path::new(path) == control && own.as_deref() == Some(&server.home) {
        return "unix://".to_owned();
    }
    address
}

/// Whether this is the server named by --connect.
fn is_named(place: &Unreachable, named: Option<&str>) -> bool {
    named == Some(place.address.as_str())
}

/// Whether no server was started there, which is not worth reporting.
fn is_nobody(place: &Unreachable) -> bool {
    matches!(&place.error, Error::Connect(error) if matches!(error.kind, ConnectErrorKind::NoServer))
}

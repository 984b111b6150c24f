//! `cas mine`: copies stored threads into a file or a database, and searches in one.

pub(crate) mod database;
mod sink;
pub(crate) mod text;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use cas_sdk::history::{HistoryQuery, StoredThread};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use self::{database::Database, sink::Sink};
use crate::{
    input::given,
    output::{Failure, Members, Result, complain, field, json as json_line, line},
    screen::spinner,
    server::{Server, close},
    signals::Signals,
    when::since,
};

/// Copy the stored threads into a JSONL file or a database, or search in one.
///
/// Copies all threads, of every model provider and every source, archived or not, unless a flag
/// selects some of them. The next run continues one that was interrupted, and a later run adds what
/// has changed since. If the file has several lines of a thread, the last one counts. An existing
/// file or database that this command did not create is never written to.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  cas mine --sqlite sessions.db --include-turns --since 30d\n  cas mine search \"flaky test\" --sqlite sessions.db"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Search the items of a database that was made with --include-turns
    Search {
        /// The words to find, all of them; or an FTS5 query: "phrases", AND, OR, NOT, pre*
        #[arg(value_parser = given)]
        query: String,
        /// The database
        #[arg(long, value_name = "FILE")]
        sqlite: PathBuf,
        /// The maximum number of matches; 0 means all
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH")]
    codex: Option<PathBuf>,
    /// The file to write or to continue, one thread per line; `-` is standard output, which like a
    /// pipe can't be continued
    #[arg(long, value_name = "FILE", conflicts_with = "sqlite")]
    out: Option<PathBuf>,
    /// The database to write or to continue
    #[arg(long, value_name = "FILE")]
    sqlite: Option<PathBuf>,
    /// Only threads updated since: 7d, 12h ago, a day such as 2026-01-31, or seconds since the
    /// epoch
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<i64>,
    /// Only threads of this working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Only the archived threads
    #[arg(long)]
    archived: bool,
    /// Only the threads that are not archived
    #[arg(long, conflicts_with = "archived")]
    no_archived: bool,
    /// Only threads with this in their title
    #[arg(long, value_name = "TEXT", value_parser = given)]
    search_term: Option<String>,
    /// Only threads of this kind, such as cli, vscode, exec, appServer or subAgent; may be given
    /// several times
    #[arg(long, value_name = "KIND", value_parser = given)]
    source_kind: Vec<String>,
    /// Only threads of this model provider; may be given several times
    #[arg(long, value_name = "NAME", value_parser = given)]
    model_provider: Vec<String>,
    /// Any other filter of thread/list, as in parentThreadId=ID; the value is JSON, else text;
    /// may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<(String, Value)>,
    /// Include the turns with all their items
    #[arg(long)]
    include_turns: bool,
}

impl Args {
    pub(crate) fn json(&self) -> bool {
        matches!(self.action, Some(Action::Search { json: true, .. }))
    }
}

pub(crate) async fn run(args: Args, signals: &mut Signals) -> Result {
    match args.action {
        Some(Action::Search {
            query,
            sqlite,
            limit,
            json,
        }) => search(&query, &sqlite, limit, json),
        None => mine(&args.run, signals).await,
    }
}

fn search(query: &str, file: &Path, limit: u32, as_json: bool) -> Result {
    let database = Database::with_turns(file)?;
    for hit in database.search(query, limit)? {
        if as_json {
            json_line(&Members([
                ("threadId", hit.thread.into()),
                ("turnId", hit.turn.into()),
                ("type", hit.kind.into()),
                ("snippet", hit.snippet.into()),
            ]))?;
        } else {
            let words = hit
                .snippet
                .split([' ', '\n', '\t'])
                .filter(|word| !word.is_empty());
            let snippet = words.collect::<Vec<_>>().join(" ");
            line(format_args!(
                "{} {} {}: {}",
                field(&hit.thread),
                field(&hit.turn),
                field(&hit.kind),
                field(&snippet)
            ))?;
        }
    }
    Ok(())
}

async fn mine(args: &Run, signals: &mut Signals) -> Result {
    let mut into: Box<dyn Store> = match (&args.out, &args.sqlite) {
        (Some(file), None) => Box::new(Lines::open(file)?),
        (None, Some(file)) => Box::new(Database::open(file)?),
        _ => {
            return Err(Failure::Usage(
                "give --out FILE or --sqlite FILE".to_owned(),
            ));
        }
    };
    let known = into.known(args.include_turns)?;
    let server = Server {
        codex: args.codex.clone(),
        ..Server::default()
    };
    let client = signals.or(server.client()).await?;
    let bar = spinner("");
    let mut threads = client.history(filters(args)?.known(known));
    let (mut count, mut broken) = (0, 0);
    let done = loop {
        let mined = tokio::select! {
            mined = threads.next() => mined,
            // Everything written so far is complete, and the next run continues from there.
            caught = signals.next() => break Err(Failure::Signal(caught)),
        };
        match mined {
            None => break Ok(()),
            Some(Err(error)) => break Err(error.into()),
            Some(Ok(mined)) => {
                if let Some(error) = &mined.turns_error {
                    broken += 1;
                    bar.suspend(|| complain(&format!("thread {}: {error}", mined.id())));
                }
                match into.add(&mined) {
                    Ok(changed) => count += usize::from(changed),
                    Err(failure) => break Err(failure),
                }
                bar.set_message(format!("{count} threads"));
            }
        }
    };
    bar.finish_and_clear();
    // A server that hangs is killed with this process.
    let _ = timeout(Duration::from_secs(1), close(&client)).await;
    complain(&format!(
        "{count} threads written, {broken} of them without their turns"
    ));
    done
}

fn filters(args: &Run) -> Result<HistoryQuery> {
    let mut mine = HistoryQuery::default().include_turns(args.include_turns);
    if args.archived || args.no_archived {
        mine = mine.archived(args.archived);
    }
    if let Some(since) = args.since {
        mine = mine.since(since);
    }
    if let Some(cwd) = &args.cwd {
        mine = mine.cwd(std::path::absolute(cwd)?);
    }
    if let Some(term) = &args.search_term {
        mine = mine.filter("searchTerm", term.as_str());
    }
    if !args.source_kind.is_empty() {
        mine = mine.source_kinds(args.source_kind.clone());
    }
    if !args.model_provider.is_empty() {
        mine = mine.model_providers(args.model_provider.clone());
    }
    for (name, value) in &args.filter {
        mine = mine.filter(name, value.clone());
    }
    Ok(mine)
}

fn filter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("a filter is NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}

/// Where the threads go.
pub(crate) trait Store {
    /// The threads that need not be read again: their ids, and when each was updated. With
    /// `with_turns`, only those that are stored with their turns.
    fn known(&self, with_turns: bool) -> Result<HashMap<String, i64>>;
    /// Adds a thread, or replaces its stored version. Returns whether anything has changed.
    fn add(&mut self, mined: &StoredThread) -> Result<bool>;
}

/// A thread and its turns, as the server sent them.
pub(crate) fn json_of(stored: &StoredThread) -> Result<(Value, Option<Value>)> {
    let turns = stored.turns.as_ref().map(|turns| {
        let turns = turns.iter().map(|turn| serde_json::from_str(turn.json()));
        turns.collect::<Result<Vec<Value>, _>>().map(Value::from)
    });
    Ok((serde_json::from_str(stored.json())?, turns.transpose()?))
}

/// A digest of everything that was read of a thread.
pub(crate) fn digest(thread: &Value, turns: Option<&Value>) -> i64 {
    let turns = turns.map(Value::to_string).unwrap_or_default();
    let digest = Sha256::digest(format!("{thread}\n{turns}"));
    let start = digest.first_chunk().expect("SHA-256 is longer than that");
    i64::from_be_bytes(*start)
}

/// A file with one thread per line: `{"listedAt": …, "archived": …, "thread": …, "turns": […]}`;
/// `turns` only if they were requested and could be read.
struct Lines {
    into: Sink,
    known: HashMap<String, Entry>,
}

struct Entry {
    updated_at: i64,
    settled: bool,
    has_turns: bool,
    digest: i64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let mut known = HashMap::new();
        let into = Sink::open(path, |record| {
            let (thread, turns) = (&record["thread"], record.get("turns"));
            if let (Some(id), Some(updated_at)) =
                (thread["id"].as_str(), thread["updatedAt"].as_i64())
            {
                let entry = Entry {
                    updated_at,
                    settled: record["listedAt"]
                        .as_i64()
                        .is_some_and(|at| updated_at < at),
                    has_turns: turns.is_some(),
                    digest: digest(thread, turns),
                };
                known.insert(id.to_owned(), entry);
            }
        })?;
        Ok(Self { into, known })
    }
}

impl Store for Lines {
    fn known(&self, with_turns: bool) -> Result<HashMap<String, i64>> {
        let known = (self.known.iter()).filter(|(_, e)| e.settled && (e.has_turns || !with_turns));
        Ok(known.map(|(id, e)| (id.clone(), e.updated_at)).collect())
    }

    fn add(&mut self, mined: &StoredThread) -> Result<bool> {
        let (thread, turns) = json_of(mined)?;
        let digest = digest(&thread, turns.as_ref());
        if self
            .known
            .get(mined.id())
            .is_some_and(|entry| entry.digest == digest)
        {
            return Ok(false);
        }
        let mut entry =
            json!({"listedAt": mined.listed_at, "archived": mined.archived, "thread": thread});
        if let Some(turns) = turns {
            entry["turns"] = turns;
        }
        self.into.write(&entry)?;
        Ok(true)
    }
}

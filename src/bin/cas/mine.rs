//! `cas mine`: the stored threads into a file or a database, and words found in them.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use cas_sdk::history::{Mine, MinedThread};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    connect::{Server, duration},
    database::Database,
    out::{Failure, Result, complain, field, json as json_line, line},
    sink::Sink,
};

/// Copy the stored threads into a JSONL file or a database, or search in one.
///
/// All threads unless a flag narrows them: of every model provider and every kind of source, archived or not.
/// A run that was broken off is continued, and a later run adds what has changed since. In the file, the last line of a
/// thread counts. What is neither new nor made by this command is never written to.
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
        /// The words, in the query language of FTS5: words, "phrases", AND, OR, NOT, pre*
        query: String,
        /// The database
        #[arg(long, value_name = "FILE")]
        sqlite: PathBuf,
        /// How many hits at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The codex executable [default: `$CAS_CODEX`, else codex on `$PATH`]
    #[arg(long, value_name = "PATH")]
    codex: Option<PathBuf>,
    /// The file to write or to continue, one thread a line; `-` or a pipe is written to without being continued
    #[arg(long, value_name = "FILE", conflicts_with = "sqlite")]
    out: Option<PathBuf>,
    /// The database to write or to continue
    #[arg(long, value_name = "FILE")]
    sqlite: Option<PathBuf>,
    /// Only threads updated since: 7d, 12h ago, a day such as 2026-01-31, or seconds since the epoch
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
    #[arg(long, value_name = "TEXT")]
    search_term: Option<String>,
    /// Only threads of this kind, such as cli, vscode, exec, appServer or subAgent; may be given several times
    #[arg(long, value_name = "KIND")]
    source_kind: Vec<String>,
    /// Only threads of this model provider; may be given several times
    #[arg(long, value_name = "NAME")]
    model_provider: Vec<String>,
    /// Any other filter of thread/list, its value as JSON or else text, as in parentThreadId=0199…; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<(String, Value)>,
    /// With their turns and all items
    #[arg(long)]
    include_turns: bool,
}

pub(crate) async fn run(args: Args) -> Result {
    match args.action {
        Some(Action::Search {
            query,
            sqlite,
            limit,
            json,
        }) => search(&query, &sqlite, limit, json),
        None => mine(&args.run).await,
    }
}

fn search(query: &str, file: &Path, limit: u32, as_json: bool) -> Result {
    for hit in Database::existing(file)?.search(query, limit)? {
        if as_json {
            json_line(&json!({
                "threadId": hit.thread, "turnId": hit.turn, "type": hit.kind, "snippet": hit.snippet,
            }))?;
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

async fn mine(args: &Run) -> Result {
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
        cwd: None,
    };
    let client = server.client().await?;
    let bar = if io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    let mut threads = client.mine(filters(args)?.known(known));
    let (mut count, mut broken) = (0, 0);
    let done = loop {
        let mined = tokio::select! {
            mined = threads.next() => mined,
            // What is written is whole, and the next run goes on from there.
            _ = tokio::signal::ctrl_c() => break Err(Failure::Exit(130)),
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
                bar.tick();
            }
        }
    };
    bar.finish_and_clear();
    client.shutdown().await;
    complain(&format!(
        "{count} threads written, {broken} of them without their turns"
    ));
    done
}

fn filters(args: &Run) -> Result<Mine> {
    let mut mine = Mine::default().include_turns(args.include_turns);
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
    /// What need not be read again: thread ids, and when each was updated. With turns, only threads that have theirs.
    fn known(&self, with_turns: bool) -> Result<HashMap<String, i64>>;
    /// Adds a thread, in the place of what is known of it; whether that is anything new.
    fn add(&mut self, mined: &MinedThread) -> Result<bool>;
}

/// Stands for all that was read of a thread.
pub(crate) fn digest(thread: &Value, turns: Option<&Value>) -> i64 {
    let turns = turns.map(Value::to_string).unwrap_or_default();
    let digest = Sha256::digest(format!("{thread}\n{turns}"));
    let start = digest.first_chunk().expect("SHA-256 is longer than that");
    i64::from_be_bytes(*start)
}

/// A file with a thread a line: `{"listedAt": …, "archived": …, "thread": …, "turns": […]}`; `turns` only if they were asked for and could
/// be read.
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

    fn add(&mut self, mined: &MinedThread) -> Result<bool> {
        let turns = mined.turns.clone().map(Value::from);
        let digest = digest(&mined.thread, turns.as_ref());
        if self
            .known
            .get(mined.id())
            .is_some_and(|entry| entry.digest == digest)
        {
            return Ok(false);
        }
        let mut entry = json!({"listedAt": mined.listed_at, "archived": mined.archived, "thread": mined.thread});
        if let Some(turns) = turns {
            entry["turns"] = turns;
        }
        self.into.write(&entry)?;
        Ok(true)
    }
}

/// A time in the past.
fn since(text: &str) -> Result<i64, String> {
    let number = |text: &str| text.parse::<i64>().ok();
    if let Some(seconds) = number(text) {
        return Ok(seconds);
    }
    let parts: Vec<_> = text.split('-').collect();
    if let [year, month, day] = parts[..]
        && let (Some(year), Some(month), Some(day)) = (number(year), number(month), number(day))
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
    {
        return Ok(days(year, month, day) * 86_400);
    }
    let ago = duration(text)
        .map_err(|_| "as in 7d, 12h, 2026-01-31 or seconds since the epoch".to_owned())?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.saturating_sub(ago).as_secs()).map_err(|e| e.to_string())
}

/// The days from the epoch to a day of the Gregorian calendar. March counts as the first month, so that a leap day is the
/// last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_an_age_a_day_or_seconds() {
        assert_eq!(since("0"), Ok(0));
        assert_eq!(since("1970-01-02"), Ok(86_400));
        // date -u -d 2024-02-29 +%s
        assert_eq!(since("2024-02-29"), Ok(1_709_164_800));
        assert_eq!(since("2026-01-31"), Ok(1_769_817_600));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let week = i64::try_from(now).unwrap() - 7 * 86_400;
        assert!((since("7d").unwrap() - week).abs() < 5);
        assert!(since("yesterday").is_err() && since("2024-13-01").is_err());
    }
}

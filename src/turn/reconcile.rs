//! Asking the server for the status of a turn, when its events don't say.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::collect::{End, Failure, Record};
use crate::{
    client::pages::AsSent,
    error::{Error, RpcErrorKind},
    protocol::pointer::{at, raw_at},
    protocol::{Call, SortDirection, ThreadItemsListParams, ThreadReadParams, TurnStatus},
    thread::Thread,
    thread::stored_turns::{LIST, StoredTurns, has_no_list},
};

/// What the server says about a turn.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The turn runs.
    Running,
    /// The turn is over, and this is its record.
    Over(Record),
    /// Nothing runs on the thread, but how the turn ended is not on record: the thread keeps no
    /// record, or the server has lost the turn.
    Idle,
    /// The server can't be asked.
    Unknown(Error),
}

/// The number of turns that are searched, newest first. The wanted turn is nearly always the
/// newest.
const TURNS: usize = 50;
const PAGE: u32 = 10;
/// The number of items in a page, and of all items that are read.
const ITEMS: u32 = 100;
const MOST_ITEMS: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    status: TurnStatus,
    duration_ms: Option<u64>,
    error: Option<Failure>,
    #[serde(default)]
    items: Vec<Box<RawValue>>,
}

impl Turn {
    fn is_over(&self) -> bool {
        self.status != TurnStatus::InProgress
    }

    fn into_record(self, items: Vec<(String, Box<RawValue>)>) -> Record {
        let is_over = self.is_over();
        let end = End {
            status: self.status,
            duration: self.duration_ms.map(Duration::from_millis),
        };
        Record {
            end: is_over.then_some(end),
            failure: self.error.map(Into::into),
            items,
        }
    }
}

/// How long the server may take to state the status of a turn. Callers wait for the answer, so this
/// time is far below the deadline of a request.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long the record of a turn that is over may take. The outcome is worth more than its missing
/// parts.
pub(super) const RECORD: Duration = Duration::from_secs(10);

/// Asks the server for the status of a turn.
pub(super) async fn verdict(thread: &Thread, turn: &str) -> Verdict {
    let found = match timeout(LOOK_UP, ask(thread, turn)).await {
        Ok(Ok(Standing::Found(found))) => found,
        Ok(Ok(Standing::Known(verdict))) => return verdict,
        Ok(Err(error)) => return Verdict::Unknown(error),
        Err(_) => {
            return Verdict::Unknown(Error::timeout("thread/read", LOOK_UP));
        }
    };
    match timeout(RECORD, items(thread, turn)).await {
        // The next connection has all of it.
        Ok(Err(error)) if error.close_reason().is_some() => Verdict::Unknown(error),
        items => {
            Verdict::Over(found.into_record(items.ok().and_then(Result::ok).unwrap_or_default()))
        }
    }
}

/// What is known before the items are fetched.
enum Standing {
    /// The turn is over, and this is its record.
    Found(Turn),
    Known(Verdict),
}

async fn ask(thread: &Thread, turn: &str) -> Result<Standing, Error> {
    let is_active = match status(thread).await {
        Ok(status) => status == "active",
        // The thread is gone from memory, but perhaps not from the disk.
        Err(error) if is_gone(&error) => false,
        Err(error) => return Err(error),
    };
    let tracker = thread.client().tracker();
    let turn_id = tracker.canonical(thread.id(), turn);
    if is_active && tracker.running(thread.id()) == Some(turn_id) {
        return Ok(Standing::Known(Verdict::Running));
    }
    match find(thread, turn).await {
        Ok(Some(found)) if found.is_over() => Ok(Standing::Found(found)),
        Ok(_) if is_active => Ok(Standing::Known(Verdict::Running)),
        Ok(_) => Ok(Standing::Known(Verdict::Idle)),
        Err(error) if error.rpc().is_some() && !is_active => Ok(Standing::Known(Verdict::Idle)),
        Err(error) => Err(error),
    }
}

/// The record of a turn that is known to be over, for the parts that were not seen.
pub(super) async fn record(thread: &Thread, turn: &str) -> Result<Record, Error> {
    let items = items(thread, turn).await?;
    Ok(Record {
        end: None,
        failure: None,
        items,
    })
}

async fn status(thread: &Thread) -> Result<String, Error> {
    const METHOD: &str = ThreadReadParams::METHOD;
    let client = thread.client();
    let request = client.request(ThreadReadParams::new(thread.id()));
    // The callers have time limits of their own.
    let request = request.urgent().timeout(client.request_timeout());
    let read = request.raw().await?;
    let status = at(read.json(), &["thread", "status", "type"]);
    status.map_err(|e| Error::decode(METHOD, read.json(), &e))
}

fn is_gone(error: &Error) -> bool {
    matches!(
        error.rpc_kind(),
        Some(RpcErrorKind::ThreadMissing | RpcErrorKind::NoTurnsYet | RpcErrorKind::Archived)
    )
}

/// Finds a turn among the latest turns of its thread.
async fn find(thread: &Thread, turn: &str) -> Result<Option<Turn>, Error> {
    let mut turns = stored(thread).without_items();
    for _ in 0..TURNS {
        let Some(stored) = turns.next().await? else {
            break;
        };
        if stored.id == turn {
            return read(&stored.json).map(Some);
        }
    }
    Ok(None)
}

fn stored(thread: &Thread) -> StoredTurns {
    let turns = StoredTurns::new(thread.client(), thread.id(), PAGE);
    turns.newest_first().urgent()
}

fn read(json: &RawValue) -> Result<Turn, Error> {
    serde_json::from_str(json.get()).map_err(|e| Error::decode(LIST, json.get(), &e))
}

/// The items of a turn, oldest first.
async fn items(thread: &Thread, turn: &str) -> Result<Vec<(String, Box<RawValue>)>, Error> {
    let params = ThreadItemsListParams::new(thread.id())
        .turn_id(turn)
        .limit(ITEMS)
        .sort_direction(SortDirection::Asc);
    let client = thread.client();
    let mut entries = client.pages(AsSent(params)).urgent();
    let mut all = Vec::new();
    while let Some(entry) = entries.next().await {
        match entry {
            Ok(entry) => {
                let item = raw_at(entry.get(), &["item"]);
                all.extend(item.ok().and_then(|item| with_id(item.to_owned())));
            }
            // A thread of the mode `legacy`, or an older server: the items come with the turns.
            Err(error) if has_no_list(&error) => return items_of_turn(thread, turn).await,
            Err(error) => return Err(error),
        }
        if all.len() >= MOST_ITEMS {
            break;
        }
    }
    Ok(all)
}

async fn items_of_turn(thread: &Thread, turn: &str) -> Result<Vec<(String, Box<RawValue>)>, Error> {
    let mut turns = stored(thread);
    for _ in 0..TURNS {
        let Some(stored) = turns.next().await? else {
            break;
        };
        if stored.id == turn {
            let items = read(&stored.json)?.items;
            return Ok(items.into_iter().filter_map(with_id).collect());
        }
    }
    Ok(Vec::new())
}

fn with_id(item: Box<RawValue>) -> Option<(String, Box<RawValue>)> {
    let id = at(item.get(), &["id"]).ok()?;
    Some((id, item))
}

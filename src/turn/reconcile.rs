//! Asking the server for the status of a turn, when its events don't say.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use tokio::time::timeout;

use super::collect::{End, Failure, Record};
use crate::{
    client::pager::Pager,
    error::{Error, RpcErrorKind},
    protocol::TurnStatus,
    protocol::pointer::{Page, at},
    thread::Thread,
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
const PAGE: usize = 10;
/// The number of items in a page, and the number of pages.
const ITEMS: usize = 100;
const ITEM_PAGES: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    id: String,
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
            return Verdict::Unknown(Error::Timeout {
                method: "thread/read".to_owned(),
                after: LOOK_UP,
            });
        }
    };
    let items = timeout(RECORD, items(thread, turn)).await;
    Verdict::Over(found.into_record(items.ok().and_then(Result::ok).unwrap_or_default()))
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
    if is_active && tracker.running(thread.id()) == Some(tracker.alias(thread.id(), turn)) {
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
    let params = json!({"threadId": thread.id()});
    call(
        thread,
        "thread/read",
        &params,
        &["thread", "status", "type"],
    )
    .await
}

fn is_gone(error: &Error) -> bool {
    matches!(
        error.rpc_kind(),
        Some(RpcErrorKind::ThreadMissing | RpcErrorKind::NoTurnsYet | RpcErrorKind::Archived)
    )
}

/// Finds a turn among the latest turns of its thread.
async fn find(thread: &Thread, turn: &str) -> Result<Option<Turn>, Error> {
    let params = json!({
        "threadId": thread.id(), "limit": PAGE, "sortDirection": "desc", "itemsView": "notLoaded",
    });
    let mut pages = Pager::new("thread/turns/list", into_map(params));
    for _ in 0..TURNS / PAGE {
        let page: Page<Turn> = match call(thread, "thread/turns/list", pages.params(), &[]).await {
            Ok(page) => page,
            Err(error) if is_unknown(&error) => return find_in_all(thread, turn).await,
            Err(error) => return Err(error),
        };
        if let Some(found) = page.data.into_iter().find(|found| found.id == turn) {
            return Ok(Some(found));
        }
        if !pages.turn(page.next_cursor)? {
            break;
        }
    }
    Ok(None)
}

/// Older servers have no list of turns, only the whole thread.
async fn find_in_all(thread: &Thread, turn: &str) -> Result<Option<Turn>, Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Turns {
        turns: Vec<Turn>,
    }
    let params = json!({"threadId": thread.id(), "includeTurns": true});
    let read: Turns = call(thread, "thread/read", &params, &["thread"]).await?;
    let mut turns = read.turns.into_iter();
    Ok(turns.find(|found| found.id == turn))
}

/// The items of a turn, oldest first.
async fn items(thread: &Thread, turn: &str) -> Result<Vec<(String, Box<RawValue>)>, Error> {
    #[derive(Deserialize)]
    struct Entry {
        item: Box<RawValue>,
    }
    let mut all = Vec::new();
    let params = json!({
        "threadId": thread.id(), "turnId": turn, "limit": ITEMS, "sortDirection": "asc",
    });
    let mut pages = Pager::new("thread/items/list", into_map(params));
    for _ in 0..ITEM_PAGES {
        let page: Page<Entry> = match call(thread, "thread/items/list", pages.params(), &[]).await {
            Ok(page) => page,
            Err(error) if is_unknown(&error) => {
                let found = find_in_all(thread, turn).await?;
                let items = found.map(|found| found.items).unwrap_or_default();
                return Ok(items.into_iter().filter_map(with_id).collect());
            }
            Err(error) => return Err(error),
        };
        all.extend(
            page.data
                .into_iter()
                .filter_map(|entry| with_id(entry.item)),
        );
        if !pages.turn(page.next_cursor)? {
            break;
        }
    }
    Ok(all)
}

fn into_map(params: Value) -> Map<String, Value> {
    match params {
        Value::Object(params) => params,
        _ => Map::new(),
    }
}

fn with_id(item: Box<RawValue>) -> Option<(String, Box<RawValue>)> {
    let id = at(item.get(), &["id"]).ok()?;
    Some((id, item))
}

fn is_unknown(error: &Error) -> bool {
    matches!(
        error.rpc_kind(),
        Some(RpcErrorKind::UnknownMethod | RpcErrorKind::ExperimentalRequired { .. })
    )
}

/// Makes a request and decodes the value at a path of the result.
async fn call<T: for<'de> Deserialize<'de>>(
    thread: &Thread,
    method: &str,
    params: &impl Serialize,
    path: &'static [&'static str],
) -> Result<T, Error> {
    let client = thread.client();
    // The callers have time limits of their own.
    let deadline = Some(client.request_timeout());
    let params = serde_json::to_string(params).map_err(|e| Error::encode(method, &e))?;
    let reply = client.send(method, &params, deadline, true, None).await?;
    at(reply.result(), path).map_err(|e| Error::decode_at(method, reply.result(), path, &e))
}

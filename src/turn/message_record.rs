//! The server's record of messages: which turn has one, and which message a turn began with.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::pages::AsSent,
    error::{Error, RpcErrorKind},
    protocol::{Call as _, SortDirection, ThreadItemsListParams},
    thread::{
        Thread,
        stored_turns::{LIST, StoredTurns, has_no_list},
    },
};

/// The number of items that are searched for a message, newest first.
const ITEMS: usize = 1000;
const PAGE: u32 = 50;
/// The number of turns that are searched, newest first, where the server lists no items.
const TURNS: usize = 50;
const TURN_PAGE: u32 = 10;
/// The number of items, oldest first, among which a turn has the message that it began with.
const FIRST: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    turn_id: String,
    item: Item,
}

#[derive(Deserialize)]
struct TurnItems {
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    r#type: String,
    client_id: Option<String>,
    namespace: Option<String>,
}

impl Item {
    /// Whether the item is a message, and not the model's work.
    fn is_message(&self) -> bool {
        matches!(self.r#type.as_str(), "userMessage" | "functionCallOutput")
    }

    fn has_id(&self, id: &str) -> bool {
        let own = match self.r#type.as_str() {
            "userMessage" => self.client_id.as_deref(),
            "functionCallOutput" => self.namespace.as_deref(),
            _ => None,
        };
        own == Some(id)
    }
}

/// The turn that has the message with this id, according to the server's record. The thread need
/// not be loaded.
pub(super) async fn turn_of(thread: &Thread, message: &str) -> Result<Option<String>, Error> {
    let params = ThreadItemsListParams::new(thread.id()).limit(PAGE);
    let params = params.sort_direction(SortDirection::Desc);
    let mut entries = thread.client().pages(AsSent(params)).urgent();
    for _ in 0..ITEMS {
        let entry = match entries.next().await {
            None => break,
            Some(Ok(entry)) => read_entry(&entry)?,
            Some(Err(error)) if is_empty(&error) => break,
            // A thread of the mode `legacy`, or an older server: the items come with the turns.
            Some(Err(error)) if has_no_list(&error) => {
                return turn_among_turns(thread, message).await;
            }
            Some(Err(error)) => return Err(error),
        };
        if entry.item.has_id(message) {
            return Ok(Some(entry.turn_id));
        }
    }
    Ok(None)
}

async fn turn_among_turns(thread: &Thread, message: &str) -> Result<Option<String>, Error> {
    let turns = StoredTurns::new(thread.client(), thread.id(), TURN_PAGE);
    let mut turns = turns.newest_first().urgent();
    for _ in 0..TURNS {
        let stored = match turns.next().await {
            Ok(Some(stored)) => stored,
            Ok(None) => break,
            Err(error) if is_empty(&error) => break,
            Err(error) => return Err(error),
        };
        let turn: TurnItems = serde_json::from_str(stored.json.get())
            .map_err(|e| Error::decode(LIST, stored.json.get(), &e))?;
        if turn.items.iter().any(|item| item.has_id(message)) {
            return Ok(Some(stored.id));
        }
    }
    Ok(None)
}

/// Whether a turn began with the message that has this id. `None` while the turn has no message on
/// record.
pub(super) async fn began_with(
    thread: &Thread,
    turn: &str,
    message: &str,
) -> Result<Option<bool>, Error> {
    let params = ThreadItemsListParams::new(thread.id()).turn_id(turn);
    let params = params.limit(PAGE).sort_direction(SortDirection::Asc);
    let mut entries = thread.client().pages(AsSent(params)).urgent();
    for _ in 0..FIRST {
        let entry = match entries.next().await {
            None => break,
            Some(Ok(entry)) => read_entry(&entry)?,
            Some(Err(error)) if is_empty(&error) => break,
            Some(Err(error)) => return Err(error),
        };
        if entry.item.is_message() {
            return Ok(Some(entry.item.has_id(message)));
        }
    }
    Ok(None)
}

fn read_entry(entry: &RawValue) -> Result<Entry, Error> {
    const METHOD: &str = ThreadItemsListParams::METHOD;
    serde_json::from_str(entry.get()).map_err(|e| Error::decode(METHOD, entry.get(), &e))
}

/// Whether nothing is on record yet.
fn is_empty(error: &Error) -> bool {
    matches!(
        error.rpc_kind(),
        Some(RpcErrorKind::NoTurnsYet | RpcErrorKind::ThreadMissing)
    )
}

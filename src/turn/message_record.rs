//! The server's record of messages: which turn has one, and which message a turn began with.

use serde::Deserialize;
use serde_json::json;

use crate::{
    client::pager::Pager,
    error::{Error, RpcErrorKind},
    protocol::pointer::Page,
    thread::Thread,
};

/// The number of items that are searched for a message, newest first.
const ITEMS: usize = 1000;
const PAGE: usize = 50;
/// The number of turns that are searched, newest first, where the server lists no items.
const TURNS: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    turn_id: String,
    item: Item,
}

#[derive(Deserialize)]
struct TurnItems {
    id: String,
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
    const METHOD: &str = "thread/items/list";
    let mut pages = pages(METHOD, thread, PAGE);
    for _ in 0..ITEMS / PAGE {
        let asked = thread.client().call::<Page<Entry>>(METHOD, pages.params());
        let page = match asked.urgent().await {
            Ok(page) => page,
            Err(error) if is_empty(&error) => return Ok(None),
            Err(error) if is_unsupported(&error) => return turn_among_turns(thread, message).await,
            Err(error) => return Err(error),
        };
        let mut entries = page.data.into_iter();
        if let Some(found) = entries.find(|entry| entry.item.has_id(message)) {
            return Ok(Some(found.turn_id));
        }
        if !pages.turn(page.next_cursor)? {
            break;
        }
    }
    Ok(None)
}

async fn turn_among_turns(thread: &Thread, message: &str) -> Result<Option<String>, Error> {
    const METHOD: &str = "thread/turns/list";
    const PAGE: usize = 10;
    let mut pages = pages(METHOD, thread, PAGE);
    for _ in 0..TURNS / PAGE {
        let asked = thread
            .client()
            .call::<Page<TurnItems>>(METHOD, pages.params());
        let page = match asked.urgent().await {
            Ok(page) => page,
            Err(error) if is_empty(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut turns = page.data.into_iter();
        if let Some(found) = turns.find(|turn| turn.items.iter().any(|item| item.has_id(message))) {
            return Ok(Some(found.id));
        }
        if !pages.turn(page.next_cursor)? {
            break;
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
    let params = json!({
        "threadId": thread.id(), "turnId": turn, "limit": 10, "sortDirection": "asc",
    });
    let asked = thread
        .client()
        .call::<Page<Entry>>("thread/items/list", params);
    let page = match asked.urgent().await {
        Ok(page) => page,
        Err(error) if is_empty(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let first = page.data.iter().find(|entry| entry.item.is_message());
    Ok(first.map(|first| first.item.has_id(message)))
}

fn pages(method: &'static str, thread: &Thread, limit: usize) -> Pager {
    let params = [
        ("threadId", json!(thread.id())),
        ("limit", json!(limit)),
        ("sortDirection", json!("desc")),
        ("itemsView", json!("full")),
    ];
    let params = params
        .into_iter()
        .filter(|(name, _)| *name != "itemsView" || method == "thread/turns/list")
        .map(|(name, value)| (name.to_owned(), value));
    Pager::new(method, params.collect())
}

/// Whether nothing is on record yet.
fn is_empty(error: &Error) -> bool {
    matches!(
        error.rpc_kind(),
        Some(RpcErrorKind::NoTurnsYet | RpcErrorKind::ThreadMissing)
    )
}

/// Whether the server lists no items, or not for this thread.
fn is_unsupported(error: &Error) -> bool {
    matches!(
        error.rpc_kind(),
        Some(
            RpcErrorKind::UnknownMethod
                | RpcErrorKind::ExperimentalRequired { .. }
                | RpcErrorKind::Unsupported
        )
    )
}

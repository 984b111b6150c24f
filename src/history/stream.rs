//! `History`: the stream that reads the stored threads page by page.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_core::Stream;
use futures_util::stream::try_unfold;
use serde_json::{Value, json, value::RawValue};

use super::{
    LIST,
    query::HistoryQuery,
    stored::{StoredThread, StoredTurn},
};
use crate::{
    CasClient, client::pager::Pager, error::Error, protocol::pointer::Page,
    thread::stored_turns::StoredTurns,
};

/// Threads per page.
const THREADS: u32 = 50;

/// Turns per page.
const TURNS: u32 = 20;

/// Every source that `thread/list` knows. Without this filter it lists the interactive ones only.
pub const EVERY_SOURCE: [&str; 10] = [
    "cli",
    "vscode",
    "exec",
    "appServer",
    "subAgent",
    "subAgentReview",
    "subAgentCompact",
    "subAgentThreadSpawn",
    "subAgentOther",
    "unknown",
];

impl CasClient {
    /// Reads the stored threads, page by page: `thread/list`, and `thread/turns/list` for the
    /// turns.
    ///
    /// The archived threads come after the others. Within each group the last updated thread is
    /// first. A failure to read the turns of one thread is part of that thread. A failure to list
    /// threads ends the stream with the error.
    pub fn history(&self, query: HistoryQuery) -> History {
        let state = State {
            client: self.clone(),
            lists: lists(&query),
            page: Vec::new().into_iter(),
            listed_at: 0,
            seen: HashSet::new(),
            timeout: query.timeout.unwrap_or_else(|| self.request_timeout()),
            query,
        };
        History(Box::pin(try_unfold(state, State::advance)))
    }
}

/// The lists to read, in order. One `thread/list` has the archived threads or the others.
fn lists(query: &HistoryQuery) -> VecDeque<List> {
    let mut params = query.filters.clone();
    for (name, all) in [
        ("modelProviders", json!([])),
        ("sourceKinds", json!(EVERY_SOURCE)),
    ] {
        params.entry(name).or_insert(all);
    }
    for (name, value) in [
        ("sortKey", json!("updated_at")),
        ("sortDirection", json!("desc")),
        ("limit", json!(THREADS)),
    ] {
        params.insert(name.to_owned(), value);
    }
    // NB. The archived ones come last: a thread that is archived meanwhile is found twice,
    // which is noticed, and never missed.
    let states = match params.get("archived") {
        None => vec![false, true],
        Some(archived) => vec![archived.as_bool().unwrap_or_default()],
    };
    let list = |archived| {
        params.insert("archived".to_owned(), json!(archived));
        List {
            archived,
            pages: Pager::new(LIST, params.clone()),
            next_cursor: None,
        }
    };
    states.into_iter().map(list).collect()
}

/// One of the two lists, read page by page.
struct List {
    archived: bool,
    pages: Pager,
    /// The cursor of the last page; `None` before the first.
    next_cursor: Option<Value>,
}

struct State {
    client: CasClient,
    query: HistoryQuery,
    /// The lists that are not read to their end. The first is being read.
    lists: VecDeque<List>,
    /// The rest of the page.
    page: std::vec::IntoIter<Box<RawValue>>,
    /// The time at which the page was requested.
    listed_at: i64,
    /// Threads that were listed. Meanwhile a thread may move to another page or to the other list.
    seen: HashSet<String>,
    timeout: Duration,
}

impl State {
    async fn advance(mut self) -> Result<Option<(StoredThread, Self)>, Error> {
        loop {
            let Some(list) = self.lists.front_mut() else {
                return Ok(None);
            };
            let Some(json) = self.page.next() else {
                // Only after the whole page was yielded, so that an error costs none of it.
                if let Some(cursor) = list.next_cursor.take()
                    && !list.pages.turn(cursor)?
                {
                    self.lists.pop_front();
                    continue;
                }
                self.listed_at = now();
                let params = list.pages.params();
                let page: Page<Box<RawValue>> =
                    self.client.call(LIST, params).timeout(self.timeout).await?;
                list.next_cursor = Some(page.next_cursor);
                self.page = page.data.into_iter();
                continue;
            };
            let mut stored = StoredThread {
                key: serde_json::from_str(json.get()).unwrap_or_default(),
                json,
                archived: list.archived,
                listed_at: self.listed_at,
                turns: None,
                turns_error: None,
            };
            // The list is sorted by the last update, so all that follow are older.
            if self
                .query
                .since
                .is_some_and(|since| stored.updated_at() < since)
            {
                self.page = Vec::new().into_iter();
                self.lists.pop_front();
                continue;
            }
            if self.query.known.get(stored.id()) == Some(&stored.updated_at())
                || !self.seen.insert(stored.id().to_owned())
            {
                continue;
            }
            if self.query.include_turns {
                match turns(&self.client, stored.id(), self.timeout).await {
                    Ok(turns) => stored.turns = Some(turns),
                    Err(
                        error @ (Error::Rpc { .. }
                        | Error::Timeout { .. }
                        | Error::NotSent { .. }
                        | Error::Decode { .. }
                        | Error::Invalid(_)),
                    ) => stored.turns_error = Some(error.to_string()),
                    Err(error) => return Err(error),
                }
            }
            return Ok(Some((stored, self)));
        }
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

async fn turns(
    client: &CasClient,
    thread: &str,
    timeout: Duration,
) -> Result<Vec<StoredTurn>, Error> {
    let mut stored = StoredTurns::new(client, thread, TURNS).timeout(timeout);
    let mut turns = Vec::new();
    while let Some(turn) = stored.next().await? {
        turns.push(StoredTurn(turn.json));
    }
    Ok(turns)
}

/// A stream of [`StoredThread`]s; see [`CasClient::history`].
#[must_use = "a stream reads nothing until it is polled"]
pub struct History(Pin<Box<dyn Stream<Item = Result<StoredThread, Error>> + Send>>);

impl History {
    /// The next thread, or `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// Same errors as [`request`](CasClient::request).
    pub async fn next(&mut self) -> Option<Result<StoredThread, Error>> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }
}

impl Stream for History {
    type Item = Result<StoredThread, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_the_schema_is_listed() {
        let schema = include_str!("../../schema/codex_app_server_protocol.schemas.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let kinds = &schema["definitions"]["v2"]["ThreadSourceKind"]["enum"];
        assert_eq!(*kinds, json!(EVERY_SOURCE));
    }

    #[test]
    fn both_archived_states_are_listed_unless_one_is_chosen() {
        let states = |query: HistoryQuery| -> Vec<bool> {
            lists(&query).iter().map(|list| list.archived).collect()
        };
        assert_eq!(states(HistoryQuery::default()), [false, true]);
        assert_eq!(states(HistoryQuery::default().archived(true)), [true]);
        assert_eq!(states(HistoryQuery::default().archived(false)), [false]);
        assert_eq!(
            states(HistoryQuery::default().filter("archived", Value::Null)),
            [false]
        );
    }
}

//! Session mining: the stored threads with their turns, as a stream.
//!
//! All of them unless told otherwise: of every model provider and every kind of source, archived or not. The server by
//! itself lists only the interactive ones of the configured provider that are not archived.
//!
//! ```no_run
//! # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
//! use cas_sdk::history::Mine;
//!
//! let mut threads = client.mine(Mine::default().include_turns(true));
//! while let Some(mined) = threads.next().await {
//!     let mined = mined?;
//!     let turns = mined.turns.as_ref().map_or(0, Vec::len);
//!     println!("{} has {turns} turns", mined.id());
//! }
//! # Ok(()) }
//! ```

use std::{
    collections::{HashMap, HashSet, VecDeque},
    error::Error as _,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_core::Stream;
use futures_util::stream::try_unfold;
use serde_json::{Map, Value, json};

use crate::{CasClient, client::pager::Pager, error::Error, protocol::pointer::Page};

/// How many threads, and how many turns, are asked for at a time.
const THREADS: u32 = 50;
const TURNS: u32 = 20;

/// Every kind of source that `thread/list` knows; without them it lists the interactive ones only.
const SOURCES: [&str; 10] = [
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

/// Which threads to mine, and how much of them. The default is all stored threads, without their turns.
///
/// The server never lists threads that are attached to another one, unless that one is named:
/// `filter("attachedToThreadId", id)`.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is mined until it is given to `CasClient::mine`"]
pub struct Mine {
    filters: Map<String, Value>,
    since: Option<i64>,
    include_turns: bool,
    known: HashMap<String, i64>,
    timeout: Option<Duration>,
}

impl Mine {
    /// The deadline of the request for each page, of threads and of turns. Default: the builder's
    /// [`request_timeout`](crate::Builder::request_timeout).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// Only threads of this working directory.
    pub fn cwd(self, dir: impl AsRef<std::path::Path>) -> Self {
        let dir = dir.as_ref().display().to_string();
        self.filter("cwd", dir)
    }

    /// Only threads that were updated at this time or later, in seconds since the epoch.
    pub fn since(mut self, seconds: i64) -> Self {
        self.since = Some(seconds);
        self
    }

    /// Only the archived threads (`true`), or only the others (`false`). Default: both.
    pub fn archived(self, archived: bool) -> Self {
        self.filter("archived", archived)
    }

    /// Only threads of these kinds of source, by their wire names such as `cli`, `exec` or `subAgent`. Default: every
    /// kind.
    pub fn source_kinds<S: Into<String>>(self, kinds: impl IntoIterator<Item = S>) -> Self {
        let kinds: Vec<String> = kinds.into_iter().map(Into::into).collect();
        self.filter("sourceKinds", kinds)
    }

    /// Only threads of these model providers. Default: every provider.
    pub fn model_providers<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.filter("modelProviders", names)
    }

    /// Any other filter of `thread/list` by its wire name, such as `searchTerm`. The order and the size of the pages are
    /// given. `null` stands for what the server does by itself.
    pub fn filter(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.filters.insert(name.to_owned(), value.into());
        self
    }

    /// Whether to read the turns with all their items too. Default: false.
    pub fn include_turns(mut self, include: bool) -> Self {
        self.include_turns = include;
        self
    }

    /// Passes over the threads that are known as they are: their ids, each with the `updatedAt` that is known. This is
    /// how an earlier run is continued.
    ///
    /// `updatedAt` is in whole seconds, so a thread that was listed in the very second of its last update may have changed
    /// after that; [`MinedThread::is_settled`] tells which are safe to give here.
    pub fn known(mut self, threads: impl IntoIterator<Item = (String, i64)>) -> Self {
        self.known.extend(threads);
        self
    }

    /// The lists to go through one after the other: `thread/list` has the archived threads or the others, never both.
    fn lists(&self) -> VecDeque<List> {
        let mut params = self.filters.clone();
        for (name, all) in [
            ("modelProviders", json!([])),
            ("sourceKinds", json!(SOURCES)),
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
        // NB. The archived ones last: what is archived meanwhile is found twice, which is noticed, and not missed.
        let states = match params.get("archived") {
            None => vec![false, true],
            Some(archived) => vec![archived.as_bool().unwrap_or_default()],
        };
        let list = |archived| {
            params.insert("archived".to_owned(), json!(archived));
            List {
                archived,
                pages: Pager::new("thread/list", params.clone()),
                next_cursor: None,
            }
        };
        states.into_iter().map(list).collect()
    }
}

/// A thread as the server stores it. All JSON is as the server gave it, so nothing is lost that this crate doesn't know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MinedThread {
    /// The thread, an item of `thread/list`.
    pub thread: Value,
    /// Whether it is archived, which `thread` does not tell.
    pub archived: bool,
    /// When the server listed it, in seconds since the epoch.
    pub listed_at: i64,
    /// Its turns with their items, oldest first. `None` if they were not asked for, or could not be read.
    pub turns: Option<Vec<Value>>,
    /// Why the turns could not be read, with the server's reason; the other threads are mined all the same.
    pub turns_error: Option<String>,
}

impl MinedThread {
    /// The id of the thread.
    #[must_use]
    pub fn id(&self) -> &str {
        self.thread["id"].as_str().unwrap_or_default()
    }

    /// When it was last updated, in seconds since the epoch.
    #[must_use]
    pub fn updated_at(&self) -> i64 {
        self.thread["updatedAt"].as_i64().unwrap_or_default()
    }

    /// Whether what was read is all there was for this `updatedAt`: it was listed later than in the second of the update.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.updated_at() < self.listed_at
    }
}

impl CasClient {
    /// Reads the stored threads: `thread/list` page by page, and the turns by `thread/turns/list`. The archived threads
    /// come after the others; among each, the last updated one is first.
    ///
    /// What fails for one thread is told with that thread; a list that fails ends the stream with the error.
    pub fn mine(&self, mine: Mine) -> Mining {
        let state = State {
            client: self.clone(),
            lists: mine.lists(),
            page: Vec::new().into_iter(),
            listed_at: 0,
            seen: HashSet::new(),
            timeout: mine.timeout.unwrap_or_else(|| self.request_timeout()),
            mine,
        };
        Mining(Box::pin(try_unfold(state, State::advance)))
    }
}

/// A list that is read page by page.
struct List {
    archived: bool,
    pages: Pager,
    /// What the last page said of the next one; `None` before the first.
    next_cursor: Option<Value>,
}

struct State {
    client: CasClient,
    mine: Mine,
    /// What is left to be listed; the first is under way.
    lists: VecDeque<List>,
    /// What is left of the page.
    page: std::vec::IntoIter<Value>,
    /// When the page was asked for.
    listed_at: i64,
    /// The threads that were listed. While it is read, a thread may move to another page or to the other list.
    seen: HashSet<String>,
    timeout: Duration,
}

impl State {
    async fn advance(mut self) -> Result<Option<(MinedThread, Self)>, Error> {
        loop {
            let Some(list) = self.lists.front_mut() else {
                return Ok(None);
            };
            let Some(thread) = self.page.next() else {
                // Only when the page has been told, so that nothing of it is lost to an error.
                if let Some(cursor) = list.next_cursor.take()
                    && !list.pages.turn(cursor)?
                {
                    self.lists.pop_front();
                    continue;
                }
                self.listed_at = now();
                let params = list.pages.params();
                let page = self
                    .client
                    .call("thread/list", params)
                    .timeout(self.timeout);
                let page: Page<_> = page.await?;
                list.next_cursor = Some(page.next_cursor);
                self.page = page.data.into_iter();
                continue;
            };
            let mut mined = MinedThread {
                thread,
                archived: list.archived,
                listed_at: self.listed_at,
                turns: None,
                turns_error: None,
            };
            // Last updated first: all that follow in this list are older still.
            if self
                .mine
                .since
                .is_some_and(|since| mined.updated_at() < since)
            {
                self.page = Vec::new().into_iter();
                self.lists.pop_front();
                continue;
            }
            if self.mine.known.get(mined.id()) == Some(&mined.updated_at())
                || !self.seen.insert(mined.id().to_owned())
            {
                continue;
            }
            if self.mine.include_turns {
                match turns(&self.client, mined.id(), self.timeout).await {
                    Ok(turns) => mined.turns = Some(turns),
                    Err(
                        error @ (Error::Rpc { .. }
                        | Error::Timeout { .. }
                        | Error::NotSent { .. }
                        | Error::Decode { .. }
                        | Error::Invalid(_)),
                    ) => mined.turns_error = Some(with_reasons(&error)),
                    Err(error) => return Err(error),
                }
            }
            return Ok(Some((mined, self)));
        }
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

async fn turns(client: &CasClient, thread: &str, timeout: Duration) -> Result<Vec<Value>, Error> {
    let params = [
        ("threadId", json!(thread)),
        ("limit", json!(TURNS)),
        ("itemsView", json!("full")),
        ("sortDirection", json!("asc")),
    ];
    let params = params.map(|(name, value)| (name.to_owned(), value));
    let mut pages = Pager::new("thread/turns/list", Map::from_iter(params));
    let mut turns = Vec::new();
    loop {
        let page: Page<_> = client
            .call("thread/turns/list", pages.params())
            .timeout(timeout)
            .await?;
        turns.extend(page.data);
        if !pages.turn(page.next_cursor)? {
            return Ok(turns);
        }
    }
}

/// The error with all that is behind it, each reason once.
fn with_reasons(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        source = error.source();
    }
    text
}

/// A stream of [`MinedThread`]s; see [`CasClient::mine`]. Dropping it ends the mining.
#[must_use = "nothing is mined until it is read"]
pub struct Mining(Pin<Box<dyn Stream<Item = Result<MinedThread, Error>> + Send>>);

impl Mining {
    /// The next thread. `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// As of [`request`](CasClient::request).
    pub async fn next(&mut self) -> Option<Result<MinedThread, Error>> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }
}

impl Stream for Mining {
    type Item = Result<MinedThread, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Mining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mining").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_source_of_the_schema_is_mined() {
        let schema = include_str!("../schema/codex_app_server_protocol.schemas.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let kinds = &schema["definitions"]["v2"]["ThreadSourceKind"]["enum"];
        assert_eq!(*kinds, json!(SOURCES));
    }

    #[test]
    fn both_archived_states_are_listed_unless_one_is_chosen() {
        let states =
            |mine: Mine| -> Vec<bool> { mine.lists().iter().map(|list| list.archived).collect() };
        assert_eq!(states(Mine::default()), [false, true]);
        assert_eq!(states(Mine::default().archived(true)), [true]);
        assert_eq!(states(Mine::default().archived(false)), [false]);
        assert_eq!(
            states(Mine::default().filter("archived", Value::Null)),
            [false]
        );
    }
}

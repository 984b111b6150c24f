//! Session mining: the stored threads with their turns, as a stream.
//!
//! ```no_run
//! # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
//! use cas_sdk::mine::Mine;
//!
//! let mut threads = client.mine(Mine::default().include_turns(true));
//! while let Some(mined) = threads.next().await {
//!     let mined = mined?;
//!     let turns = mined.turns.as_ref().map_or(0, Vec::len);
//!     println!("{} has {turns} turns", mined.id());
//! }
//! # Ok(()) }
//! ```

// `#[inline]` throughout, as in `protocol`: this is compiled for those who call it, in place of all who use the crate.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_core::Stream;
use futures_util::stream::try_unfold;
use serde_json::{Map, Value, json};

use crate::{CasClient, error::Error, read::Page};

/// How many threads, and how many turns, are asked for at a time.
const THREADS: u32 = 50;
const TURNS: u32 = 20;

/// Which threads to mine, and how much of them.
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
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// Only threads of this working directory.
    #[inline]
    pub fn cwd(self, dir: impl AsRef<std::path::Path>) -> Self {
        let dir = dir.as_ref().display().to_string();
        self.filter("cwd", dir)
    }

    /// Only threads that were updated at this time or later, in seconds since the epoch.
    #[inline]
    pub fn since(mut self, seconds: i64) -> Self {
        self.since = Some(seconds);
        self
    }

    /// The archived threads instead of the others.
    #[inline]
    pub fn archived(self, archived: bool) -> Self {
        self.filter("archived", archived)
    }

    /// Any other filter of `thread/list` by its wire name, such as `sourceKinds` (the server's default is the interactive
    /// ones), `modelProviders` or `searchTerm`. The order and the size of the pages are given.
    #[inline]
    pub fn filter(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.filters.insert(name.to_owned(), value.into());
        self
    }

    /// Whether to read the turns with all their items too. Default: false.
    #[inline]
    pub fn include_turns(mut self, include: bool) -> Self {
        self.include_turns = include;
        self
    }

    /// Passes over the threads that are known as they are: their ids, each with the `updatedAt` that is known. This is
    /// how an earlier run is continued.
    ///
    /// `updatedAt` is in whole seconds, so a thread that was listed in the very second of its last update may have changed
    /// after that; [`MinedThread::is_settled`] tells which are safe to give here.
    #[inline]
    pub fn known(mut self, threads: impl IntoIterator<Item = (String, i64)>) -> Self {
        self.known.extend(threads);
        self
    }
}

/// A thread as the server stores it. All JSON is as the server gave it, so nothing is lost that this crate doesn't know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MinedThread {
    /// The thread, an item of `thread/list`.
    pub thread: Value,
    /// When the server listed it, in seconds since the epoch.
    pub listed_at: i64,
    /// Its turns with their items, oldest first. `None` if they were not asked for, or could not be read.
    pub turns: Option<Vec<Value>>,
    /// Why the turns could not be read; the other threads are mined all the same.
    pub turns_error: Option<String>,
}

impl MinedThread {
    /// The id of the thread.
    #[must_use]
    #[inline]
    pub fn id(&self) -> &str {
        self.thread["id"].as_str().unwrap_or_default()
    }

    /// When it was last updated, in seconds since the epoch.
    #[must_use]
    #[inline]
    pub fn updated_at(&self) -> i64 {
        self.thread["updatedAt"].as_i64().unwrap_or_default()
    }

    /// Whether what was read is all there was for this `updatedAt`: it was listed later than in the second of the update.
    #[must_use]
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.updated_at() < self.listed_at
    }
}

impl CasClient {
    /// Reads the stored threads, last updated first: `thread/list` page by page, and the turns by `thread/turns/list`.
    ///
    /// What fails for one thread is told with that thread; a list that fails ends the stream with the error.
    #[inline]
    pub fn mine(&self, mine: Mine) -> Mining {
        let Mine {
            mut filters,
            since,
            include_turns,
            known,
            timeout,
        } = mine;
        let newest_first = [
            ("sortKey", json!("updated_at")),
            ("sortDirection", json!("desc")),
            ("limit", json!(THREADS)),
        ];
        for (key, value) in newest_first {
            filters.insert(key.to_owned(), value);
        }
        let state = State {
            client: self.clone(),
            params: filters,
            page: Vec::new().into_iter(),
            listed_at: 0,
            more: true,
            since,
            include_turns,
            known,
            timeout: timeout.unwrap_or_else(|| self.request_timeout()),
        };
        Mining(Box::pin(try_unfold(state, State::advance)))
    }
}

struct State {
    client: CasClient,
    params: Map<String, Value>,
    page: std::vec::IntoIter<Value>,
    /// When the page was asked for.
    listed_at: i64,
    more: bool,
    since: Option<i64>,
    include_turns: bool,
    known: HashMap<String, i64>,
    timeout: Duration,
}

impl State {
    #[inline]
    async fn advance(mut self) -> Result<Option<(MinedThread, Self)>, Error> {
        loop {
            let Some(thread) = self.page.next() else {
                if !self.more {
                    return Ok(None);
                }
                self.listed_at = now();
                let list = self
                    .client
                    .call_within("thread/list", &self.params, self.timeout);
                let page: Page<_> = list.await?;
                self.more = !page.next_cursor.is_null();
                self.params.insert("cursor".to_owned(), page.next_cursor);
                self.page = page.data.into_iter();
                continue;
            };
            let mut mined = MinedThread {
                thread,
                listed_at: self.listed_at,
                turns: None,
                turns_error: None,
            };
            // Last updated first: all that follow are older still.
            if self.since.is_some_and(|since| mined.updated_at() < since) {
                return Ok(None);
            }
            if self.known.get(mined.id()) == Some(&mined.updated_at()) {
                continue;
            }
            if self.include_turns {
                match turns(&self.client, mined.id(), self.timeout).await {
                    Ok(turns) => mined.turns = Some(turns),
                    Err(
                        error @ (Error::Rpc { .. } | Error::Timeout { .. } | Error::NotSent { .. }),
                    ) => {
                        mined.turns_error = Some(error.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(Some((mined, self)));
        }
    }
}

#[inline]
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

#[inline]
async fn turns(client: &CasClient, thread: &str, timeout: Duration) -> Result<Vec<Value>, Error> {
    let mut turns = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let params = json!({
            "threadId": thread,
            "cursor": cursor,
            "limit": TURNS,
            "itemsView": "full",
            "sortDirection": "asc",
        });
        let page: Page<_> = client
            .call_within("thread/turns/list", &params, timeout)
            .await?;
        turns.extend(page.data);
        if page.next_cursor.is_null() {
            return Ok(turns);
        }
        cursor = page.next_cursor;
    }
}

/// A stream of [`MinedThread`]s; see [`CasClient::mine`]. Dropping it ends the mining.
#[must_use = "nothing is mined until it is read"]
pub struct Mining(Pin<Box<dyn Stream<Item = Result<MinedThread, Error>> + Send>>);

impl Mining {
    /// The next thread. `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// As of [`request`](CasClient::request).
    #[inline]
    pub async fn next(&mut self) -> Option<Result<MinedThread, Error>> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }
}

impl Stream for Mining {
    type Item = Result<MinedThread, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Mining {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mining").finish_non_exhaustive()
    }
}

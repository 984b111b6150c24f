//! `HistoryQuery`: the choice of stored threads.

use std::{collections::HashMap, path::Path, time::Duration};

use serde_json::{Map, Value};

/// A query for stored threads. By default it selects all of them, without their turns.
///
/// The server never lists threads that are attached to another one unless the query names that one:
/// `filter("attachedToThreadId", id)`.
#[derive(Debug, Clone, Default)]
#[must_use = "a query reads nothing until it is given to `CasClient::history`"]
pub struct HistoryQuery {
    pub(super) filters: Map<String, Value>,
    pub(super) since: Option<i64>,
    pub(super) include_turns: bool,
    pub(super) known: HashMap<String, i64>,
    pub(super) timeout: Option<Duration>,
}

impl HistoryQuery {
    /// Sets the deadline of the request for each page, of threads and of turns. Default: the
    /// builder's [`request_timeout`](crate::Builder::request_timeout).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// Selects threads of this working directory.
    pub fn cwd(self, dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref().display().to_string();
        self.filter("cwd", dir)
    }

    /// Selects threads that were updated at this time or later, in seconds since the Unix epoch.
    pub fn since(mut self, seconds: i64) -> Self {
        self.since = Some(seconds);
        self
    }

    /// Selects archived threads (`true`) or the others (`false`). Default: both.
    pub fn archived(self, archived: bool) -> Self {
        self.filter("archived", archived)
    }

    /// Selects threads of these sources, by their wire names such as `cli`, `exec` or `subAgent`.
    /// Default: every source.
    pub fn source_kinds<S: Into<String>>(self, kinds: impl IntoIterator<Item = S>) -> Self {
        let kinds: Vec<String> = kinds.into_iter().map(Into::into).collect();
        self.filter("sourceKinds", kinds)
    }

    /// Selects threads of these model providers. Default: every provider.
    pub fn model_providers<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.filter("modelProviders", names)
    }

    /// Sets any other filter of `thread/list` by its wire name, such as `searchTerm`.
    ///
    /// `null` stands for the server's own default. The order and the size of pages are fixed.
    pub fn filter(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.filters.insert(name.to_owned(), value.into());
        self
    }

    /// Also reads the turns of each thread with all their items. Default: false.
    pub fn include_turns(mut self, include: bool) -> Self {
        self.include_turns = include;
        self
    }

    /// Skips threads that have not changed since an earlier run, given by their ids and their
    /// `updatedAt` of then.
    ///
    /// `updatedAt` is in whole seconds, so a thread that was listed in the second of its last
    /// update may have changed since. [`StoredThread::is_settled`](crate::history::StoredThread::is_settled) says which threads are safe to
    /// give here.
    pub fn known(mut self, threads: impl IntoIterator<Item = (String, i64)>) -> Self {
        self.known.extend(threads);
        self
    }
}

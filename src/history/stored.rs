//! `StoredThread` and `StoredTurn`: the items of the stream.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{LIST, LIST_TURNS};
use crate::{
    error::Error,
    protocol::{ThreadInfo, TurnInfo},
};

/// A stored thread.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredThread {
    /// Whether the thread is archived, which [`thread`](Self::thread) does not say.
    pub archived: bool,
    /// The time at which the server listed it, in seconds since the Unix epoch.
    pub listed_at: i64,
    /// Its turns with their items, oldest first. `None` if the query does not ask for them, or if
    /// they could not be read.
    pub turns: Option<Vec<StoredTurn>>,
    /// The reason why the turns could not be read, the server's own included. The stream goes on
    /// with the other threads.
    pub turns_error: Option<String>,
    pub(super) key: Key,
    pub(super) json: Box<RawValue>,
}

/// What the stream itself reads of a thread.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Key {
    id: String,
    updated_at: i64,
}

impl StoredThread {
    /// The id of the thread.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.key.id
    }

    /// The time of its last update, in seconds since the Unix epoch.
    #[must_use]
    pub fn updated_at(&self) -> i64 {
        self.key.updated_at
    }

    /// Whether any later change has a later `updatedAt`: the server listed the thread after the
    /// second of its last update.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.updated_at() < self.listed_at
    }

    /// The thread, as an item of `thread/list`.
    ///
    /// # Errors
    /// [`Error::Decode`] if it does not fit the schema.
    pub fn thread(&self) -> Result<ThreadInfo, Error> {
        serde_json::from_str(self.json()).map_err(|e| Error::decode(LIST, self.json(), &e))
    }

    /// The JSON text of the thread as the server sent it, with fields that the schema does not
    /// have.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }
}

/// A turn of a stored thread.
#[derive(Debug, Clone)]
pub struct StoredTurn(pub(super) Box<RawValue>);

impl StoredTurn {
    /// The turn with its items.
    ///
    /// # Errors
    /// [`Error::Decode`] if it does not fit the schema.
    pub fn turn(&self) -> Result<TurnInfo, Error> {
        serde_json::from_str(self.json()).map_err(|e| Error::decode(LIST_TURNS, self.json(), &e))
    }

    /// The JSON text of the turn as the server sent it, with fields that the schema does not have.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.get()
    }
}

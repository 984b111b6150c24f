//! Threads: conversations that the server keeps.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    CasClient, Events, Filter,
    error::Error,
    protocol,
    protocol::pointer::{at, readable},
};

/// A thread. Clones are the same thread.
///
/// Those that [`start_thread`](CasClient::start_thread), [`resume_thread`](CasClient::resume_thread) and
/// [`fork_thread`](CasClient::fork_thread) return are followed by this connection: it gets the events of their turns,
/// until the thread is closed, archived, deleted or [let go](Self::unsubscribe).
#[derive(Clone)]
pub struct Thread(Arc<Inner>);

struct Inner {
    client: CasClient,
    id: String,
    origin: Origin,
    /// The result that opened it, as the server wrote it.
    opened: String,
}

/// Where a [`Thread`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It is new.
    Started,
    /// It was stored, or running.
    Resumed,
    /// It was archived, and is no longer.
    Unarchived,
    /// It is a copy of another, under an id of its own.
    Forked,
    /// It was named by its id, with [`CasClient::thread`]; nothing was asked of the server.
    Named,
}

impl CasClient {
    /// A thread by its id, as it is: not loaded, not followed, and perhaps not there. For reading, naming and archiving
    /// it, and for asking something of one that this connection follows already, such as the thread of a tool call, of a
    /// sub-agent, or of an answer that [came late](crate::MessageKind::LateResponse).
    #[must_use]
    pub fn thread(&self, id: impl Into<String>) -> Thread {
        Thread::new(self, id.into(), Origin::Named, "null".to_owned())
    }
}

impl Thread {
    pub(crate) fn new(client: &CasClient, id: String, origin: Origin, opened: String) -> Self {
        Self(Arc::new(Inner {
            client: client.clone(),
            id,
            origin,
            opened,
        }))
    }

    /// The id, to resume it by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The client it was opened with.
    #[must_use]
    pub fn client(&self) -> &CasClient {
        &self.0.client
    }

    /// Where it comes from: a resume may have had to make a copy or to start anew, see
    /// [`Resume`](crate::Resume).
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Whether this connection gets the events of its turns.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.client().tracker().follows(self.id())
    }

    /// What the server said when the thread was opened: the JSON text of the response. `null` for one that was only
    /// named.
    #[must_use]
    pub fn opened(&self) -> &str {
        &self.0.opened
    }

    /// The state of the thread when it was opened.
    ///
    /// # Errors
    /// [`Error::Decode`] if it doesn't fit the schema, or was only named; [`read`](Self::read) asks the server.
    // Compiled for those who call it: the readers of all that a thread consists of hang on it.
    #[inline]
    pub fn info(&self) -> Result<protocol::Thread, Error> {
        let path = &["thread"];
        at(self.opened(), path)
            .map_err(|e| Error::decode_at("thread/start", self.opened(), path, &e))
    }

    /// Everything that the server says about this thread from now on.
    pub fn events(&self) -> Events {
        self.client().events(Filter::all().thread(self.id()))
    }

    /// `thread/read`: the state of the thread as it is now, without its turns. It need not be loaded, and may belong to
    /// another process. Its turns are `client.pages(ThreadTurnsListParams::new(id))`.
    ///
    /// # Errors
    /// As of [`CasClient::request`]; of kind `ThreadMissing` if the thread does not exist.
    pub async fn read(&self) -> Result<protocol::Thread, Error> {
        let params = json!({"threadId": self.id()});
        let read: Holder = self.call("thread/read", &params).await?;
        Ok(read.thread)
    }

    /// `thread/name/set`: gives it a title.
    ///
    /// # Errors
    /// As of [`CasClient::request`].
    pub async fn set_name(&self, name: impl Into<String>) -> Result<(), Error> {
        let params = json!({"threadId": self.id(), "name": name.into()});
        self.call::<Value>("thread/name/set", &params)
            .await
            .map(drop)
    }

    /// `thread/archive`: puts it away. A turn that runs is interrupted, and the thread is no longer followed.
    ///
    /// # Errors
    /// As of [`CasClient::request`]; of kind `ThreadMissing` if the thread is archived already, is ephemeral, or does not
    /// exist, and `ActiveWriter` if another process has it. A thread that is loaded and has had no turn is archived, too, and is
    /// stored from then on.
    pub async fn archive(&self) -> Result<(), Error> {
        let params = json!({"threadId": self.id()});
        self.call::<Value>("thread/archive", &params)
            .await
            .map(drop)
    }

    /// `thread/unarchive`: brings it back from the archive. To be resumed before something is asked of it.
    ///
    /// # Errors
    /// As of [`CasClient::request`]; of kind `ThreadMissing` if it is not archived, and `ActiveWriter` if it is loaded.
    pub async fn unarchive(&self) -> Result<(), Error> {
        let params = json!({"threadId": self.id()});
        self.call::<Value>("thread/unarchive", &params)
            .await
            .map(drop)
    }

    /// `thread/unsubscribe`: lets go of it. This connection no longer gets its events, a turn that runs goes on, and the
    /// server unloads it some time after the last connection has let go.
    ///
    /// # Errors
    /// As of [`CasClient::request`].
    pub async fn unsubscribe(&self) -> Result<(), Error> {
        let params = json!({"threadId": self.id()});
        self.call::<Value>("thread/unsubscribe", &params)
            .await
            .map(drop)
    }

    /// `thread/fork`: a new thread with the history of this one.
    ///
    /// # Errors
    /// As of [`CasClient::fork_thread`].
    pub async fn fork(&self) -> Result<Self, Error> {
        self.client().fork_thread(self.id()).await
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
    ) -> Result<T, Error> {
        self.client().request_raw(method, params).await
    }
}

readable! {
    /// A response that carries a thread.
    struct Holder {
        needed { thread: protocol::Thread = "thread", }
    }
}

impl fmt::Debug for Thread {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

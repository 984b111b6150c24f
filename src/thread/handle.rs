//! `Thread`: a handle to a conversation that the server keeps.

use std::{fmt, sync::Arc};

use crate::{
    client::handle::CasClient,
    error::Error,
    events::{Events, Filter, Notifications},
    protocol::pointer::at,
    protocol::{
        self, Call, ThreadArchiveParams, ThreadReadParams, ThreadSetNameParams,
        ThreadUnarchiveParams, ThreadUnsubscribeParams,
    },
};

/// A conversation thread. Clones refer to the same thread.
///
/// This connection follows the threads that [`start_thread`](CasClient::start_thread),
/// [`resume_thread`](CasClient::resume_thread) and [`fork_thread`](CasClient::fork_thread) return.
/// It receives the events of their turns until the thread is closed, archived, deleted or
/// [unsubscribed](Self::unsubscribe).
#[derive(Clone)]
pub struct Thread(Arc<Inner>);

struct Inner {
    client: CasClient,
    id: String,
    opened_by: OpenedBy,
    /// The result of the request that opened the thread, as the server wrote it.
    opened: String,
}

/// How a [`Thread`] was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenedBy {
    /// `thread/start`: the thread is new.
    Started,
    /// `thread/resume`: the thread was stored, or running.
    Resumed,
    /// `thread/unarchive`, then `thread/resume`: the thread was archived and no longer is.
    Unarchived,
    /// `thread/fork`: the thread is a copy of another thread, with its own id.
    Forked,
    /// [`CasClient::thread`]: nothing was sent.
    ById,
}

impl CasClient {
    /// A handle to the thread with this id. Sends nothing; the thread may not exist.
    ///
    /// Use the handle to read, name or archive a thread. It also starts turns on a thread that this
    /// connection already follows, such as the thread of a tool call, of a sub-agent, or of a [late
    /// response](crate::events::MessageKind::LateResponse).
    #[must_use]
    pub fn thread(&self, id: impl Into<String>) -> Thread {
        Thread::new(self, id.into(), OpenedBy::ById, "null".to_owned())
    }
}

impl Thread {
    pub(crate) fn new(client: &CasClient, id: String, opened_by: OpenedBy, opened: String) -> Self {
        Self(Arc::new(Inner {
            client: client.clone(),
            id,
            opened_by,
            opened,
        }))
    }

    /// The id of the thread, which [`CasClient::resume_thread`] takes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The client that this handle belongs to.
    #[must_use]
    pub fn client(&self) -> &CasClient {
        &self.0.client
    }

    /// How the thread was opened. A resume may have made a copy or started a new thread; see
    /// [`Resume`](crate::thread::Resume).
    #[must_use]
    pub fn opened_by(&self) -> OpenedBy {
        self.0.opened_by
    }

    /// Whether this connection receives the events of the thread's turns.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.client().tracker().follows(self.id())
    }

    /// The JSON text of the response that opened the thread; `null` for [`OpenedBy::ById`].
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0.opened
    }

    /// The state of the thread when it was opened. [`fetch`](Self::fetch) asks the server for the
    /// current state.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response doesn't fit the schema, or if the thread was only
    /// [named](OpenedBy::ById).
    pub fn opened_as(&self) -> Result<protocol::ThreadInfo, Error> {
        let path = &["thread"];
        at(self.json(), path).map_err(|e| Error::decode_at("thread/start", self.json(), path, &e))
    }

    /// All events of this thread from now on.
    pub fn events(&self) -> Events {
        self.client().events(Filter::all().thread(self.id()))
    }

    /// The notifications of type `N` about this thread from now on; see
    /// [`CasClient::notifications`].
    pub fn notifications<N: protocol::Notification>(&self) -> Notifications<N> {
        let filter = Filter::all().thread(self.id()).notification::<N>();
        Notifications::new(self.client().events(filter))
    }

    /// `thread/read`: fetches the current state of the thread, without its turns. The thread need
    /// not be loaded, and may belong to another process.
    /// `client.pages(ThreadTurnsListParams::new(id))` lists the turns.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`]; the kind is `ThreadMissing` if the thread does not
    /// exist.
    pub async fn fetch(&self) -> Result<protocol::ThreadInfo, Error> {
        let params = ThreadReadParams::new(self.id());
        Ok(self.client().request(params).await?.thread)
    }

    /// `thread/name/set`: gives the thread a title.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn set_name(&self, name: impl Into<String>) -> Result<(), Error> {
        self.acknowledged(ThreadSetNameParams::new(self.id(), name))
            .await
    }

    /// `thread/archive`: archives the thread. The server interrupts a running turn, and this
    /// connection no longer follows the thread.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`]; the kind is `ThreadMissing` if the thread is already
    /// archived, is ephemeral or does not exist, and `ActiveWriter` if another process has the
    /// thread. A loaded thread that has had no turn is archived too, and is stored from then on.
    pub async fn archive(&self) -> Result<(), Error> {
        self.acknowledged(ThreadArchiveParams::new(self.id())).await
    }

    /// `thread/unarchive`: restores the thread from the archive. Resume it before starting a turn.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`]; the kind is `ThreadMissing` if the thread is not
    /// archived, and `ActiveWriter` if the thread is loaded.
    pub async fn unarchive(&self) -> Result<(), Error> {
        self.acknowledged(ThreadUnarchiveParams::new(self.id()))
            .await
    }

    /// `thread/unsubscribe`: stops following the thread. This connection no longer receives the
    /// thread's events. A running turn goes on. The server unloads the thread some time after its
    /// last connection has gone.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn unsubscribe(&self) -> Result<(), Error> {
        self.acknowledged(ThreadUnsubscribeParams::new(self.id()))
            .await
    }

    /// `thread/fork`: starts a new thread with the history of this one.
    ///
    /// # Errors
    /// Same errors as [`CasClient::fork_thread`].
    pub async fn fork(&self) -> Result<Self, Error> {
        self.client().fork_thread(self.id()).await
    }

    /// Sends a request whose result carries no information, so that its form does not matter.
    pub(crate) async fn acknowledged<C: Call>(&self, params: C) -> Result<(), Error> {
        self.client().request(params).raw().await.map(drop)
    }
}

impl From<&Thread> for protocol::ThreadId {
    fn from(thread: &Thread) -> Self {
        thread.id().into()
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

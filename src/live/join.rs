//! Joining a thread: a snapshot of it, and the events after the snapshot.

use std::{
    collections::HashSet,
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;

use crate::{
    CasClient, Error, Event, Events, Filter, Thread,
    error::{JoinRefusal, RpcErrorKind},
    events::MessageKind,
    protocol::{
        self, Call as _, ThreadResumeParams, ThreadStatus, TurnStatus,
        pointer::{Page, at},
    },
    thread::resume::newest_turns,
    turn::Turn,
};

/// How many turns the snapshot has, unless [`Join::turns`] says otherwise.
const TURNS: u32 = 20;

impl CasClient {
    /// Joins a thread, whoever runs it: takes a snapshot of its turns, and follows it from there.
    /// No event between the snapshot and the stream is missed or duplicated.
    ///
    /// A thread that is not loaded is loaded, and is idle. As an
    /// [`Observer`](crate::live::Role::Observer), the client only watches. Dropping what the join
    /// returns never interrupts a turn that was already running.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// let mut joined = client.join("thr_1").await?;
    /// for turn in joined.turns() {
    ///     println!("{}: {} items", turn.id, turn.items.len());
    /// }
    /// while let Some(update) = joined.next().await {
    ///     println!("{}", update?.event.method());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotJoinable`] for a thread before its first turn and for an ephemeral thread;
    /// otherwise the same errors as [`resume_thread`](Self::resume_thread).
    pub fn join(&self, thread_id: impl Into<String>) -> Join {
        Join {
            client: self.clone(),
            thread_id: thread_id.into(),
            turns: TURNS,
            timeout: None,
        }
    }
}

/// A thread about to be joined; see [`CasClient::join`].
#[derive(Debug, Clone)]
#[must_use = "a thread is not joined until this is awaited"]
pub struct Join {
    client: CasClient,
    thread_id: String,
    turns: u32,
    timeout: Option<Duration>,
}

impl Join {
    /// Sets how many turns the snapshot has, from the newest back. At least one. Default: 20.
    pub fn turns(mut self, turns: u32) -> Self {
        self.turns = turns.max(1);
        self
    }

    /// Sets the deadline. Default: the builder's
    /// [`request_timeout`](crate::Builder::request_timeout).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    async fn run(self) -> Result<JoinedThread, Error> {
        let Self {
            client,
            thread_id: id,
            turns,
            timeout,
        } = self;
        let mut params = ThreadResumeParams::new(id.as_str());
        if client.experimental_api() {
            params = params
                .exclude_turns(true)
                .initial_turns_page(newest_turns(turns));
        }
        let params = serde_json::to_string(&params)
            .map_err(|e| Error::encode(ThreadResumeParams::METHOD, &e))?;
        // NB. It takes nothing until the reader has read the response: what was sent before is in
        // the snapshot.
        let events = Events::new(client.subscribe(std::sync::Arc::new(|_| false)));
        let rebind = events.subscription().rebind();
        let filter = Filter::all().kind(MessageKind::Notification).thread(&id);
        let hook = Box::new(move |outcome: &crate::rpc::reply::Outcome| {
            if outcome.is_ok() {
                rebind.to(&filter.into_matcher());
            }
        });
        let within = timeout.unwrap_or_else(|| client.request_timeout());
        let opened = client.resume_with(&params, within, hook).await;
        let thread = match opened {
            Ok(thread) => thread,
            Err(error) => return Err(refusal(&client, &id, error).await),
        };
        let Snapshot { turns, more } = Snapshot::read(&thread)?;
        let running = turns.last();
        let running = running.filter(|turn| turn.status == TurnStatus::InProgress);
        let running_id = running.map(|turn| turn.id.clone());
        let turn = running.map(|turn| thread.found_running(turn, events.fork()));
        Ok(JoinedThread {
            thread,
            turns,
            more,
            events,
            turn,
            running: running_id,
            begun: HashSet::new(),
        })
    }
}

impl IntoFuture for Join {
    type Output = Result<JoinedThread, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Why an existing thread can't be resumed.
async fn refusal(client: &CasClient, id: &str, error: Error) -> Error {
    if !matches!(
        error.rpc_kind(),
        Some(RpcErrorKind::ThreadMissing | RpcErrorKind::NoTurnsYet)
    ) {
        return error;
    }
    let Ok(thread) = client.thread(id).fetch().await else {
        return error;
    };
    let reason = match thread.status {
        _ if thread.ephemeral => JoinRefusal::Ephemeral,
        ThreadStatus::NotLoaded => return error,
        _ => JoinRefusal::NoTurnsYet,
    };
    Error::NotJoinable {
        thread_id: id.to_owned(),
        reason,
    }
}

/// The turns of a thread when it was joined.
struct Snapshot {
    /// The oldest first.
    turns: Vec<protocol::TurnInfo>,
    more: bool,
}

impl Snapshot {
    fn read(thread: &Thread) -> Result<Self, Error> {
        const PAGE: &[&str] = &["initialTurnsPage"];
        let decode = |path, e| Error::decode_at("thread/resume", thread.json(), path, &e);
        match at::<Option<Page<_>>>(thread.json(), PAGE) {
            Ok(Some(mut page)) => {
                page.data.reverse();
                Ok(Self {
                    turns: page.data,
                    more: !page.next_cursor.is_null(),
                })
            }
            Err(error) if at::<serde::de::IgnoredAny>(thread.json(), PAGE).is_ok() => {
                Err(decode(PAGE, error))
            }
            // The server has no such page, and has sent all turns.
            _ => {
                const ALL: &[&str] = &["thread", "turns"];
                let turns = at(thread.json(), ALL).map_err(|e| decode(ALL, e))?;
                Ok(Self { turns, more: false })
            }
        }
    }
}

/// A thread that was joined: a snapshot of it, and a stream of the events after the snapshot. See
/// [`CasClient::join`].
///
/// The stream has the notifications about this thread. Join the threads of its sub-agents
/// separately; [`CasClient::pending_request_changes`] has the server's requests. A reader that is
/// too slow gets [`Error::Lagged`] in the place of the events that it missed, and can join again.
/// The stream ends as [`Events`] do.
#[must_use = "a stream does nothing but fill its queue until it is polled"]
pub struct JoinedThread {
    thread: Thread,
    turns: Vec<protocol::TurnInfo>,
    more: bool,
    events: Events,
    turn: Option<Turn>,
    /// The turn that was running, until it is over.
    running: Option<String>,
    /// The items of that turn that have begun since.
    begun: HashSet<String>,
}

/// An event of a joined thread.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JoinedEvent {
    /// The event.
    pub event: Event,
    /// Whether the event is a piece of an item that began before the join, so that earlier pieces
    /// are missing: a snapshot does not have the text of a message or the output of a command that
    /// is not complete. The whole item comes with its `item/completed`.
    pub is_partial: bool,
}

impl JoinedThread {
    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// The newest turns when the thread was joined, with their items, the oldest first. A running
    /// turn is the last, with the items that it had by then, except a message that was being
    /// streamed.
    #[must_use]
    pub fn turns(&self) -> &[protocol::TurnInfo] {
        &self.turns
    }

    /// Whether the thread has older turns than [`turns`](Self::turns). [`Thread::history`] has all.
    #[must_use]
    pub fn has_older_turns(&self) -> bool {
        self.more
    }

    /// Takes the turn that was running when the thread was joined, with what the snapshot has of
    /// it. `None` if none was running, and from the second call on. Dropping the turn does not
    /// interrupt it. [`Thread::turns`] yields the turns that begin later.
    pub fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// The next event; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lagged`] where events were dropped, [`Error::Closed`] when the connection ends.
    pub async fn next(&mut self) -> Option<Result<JoinedEvent, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<JoinedEvent, Error>>> {
        let event = match ready!(self.events.poll_event(cx)) {
            Some(Ok(event)) => event,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        let is_partial = self.is_partial(&event);
        Poll::Ready(Some(Ok(JoinedEvent { event, is_partial })))
    }

    fn is_partial(&mut self, event: &Event) -> bool {
        if self.running.is_none() || event.turn_id() != self.running.as_deref() {
            return false;
        }
        match (event.method(), event.item_id()) {
            ("turn/completed", _) => {
                self.running = None;
                self.begun = HashSet::new();
                false
            }
            ("item/started", Some(item)) => {
                self.begun.insert(item.to_owned());
                false
            }
            ("item/completed", Some(item)) => {
                self.begun.remove(item);
                false
            }
            (_, Some(item)) => !self.begun.contains(item),
            (_, None) => false,
        }
    }
}

impl Stream for JoinedThread {
    type Item = Result<JoinedEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl fmt::Debug for JoinedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinedThread")
            .field("thread", &self.thread.id())
            .field("turns", &self.turns.len())
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

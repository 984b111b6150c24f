//! `Supervisor`: restarts a server that has crashed, or connects again to a server that somebody
//! else runs, and resumes its threads.

mod core;
mod events;
mod gap;
mod policy;
mod source;
mod state;
mod task;

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use self::{
    core::{Core, Current, is_open, shut_down},
    source::Source,
    task::Task,
};
use crate::{
    Builder, CasClient, Thread,
    client::connection_task::AbortOnDrop,
    error::{Error, TurnErrorKind, TurnOutcome},
    protocol::ThreadStartParams,
    turn::Turn,
};
#[cfg(feature = "ws")]
use crate::{error::ConnectError, transport::Endpoint};
pub use events::{ThreadEvent, ThreadEvents};
pub use gap::{Gap, Recovered};
pub use policy::Restart;
pub use state::{ServerState, ServerStates};

/// The server records a turn some 40 ms after its start.
const SETTLED: Duration = Duration::from_millis(500);

/// Restarts a server when it crashes, or connects again to a server that somebody else runs, and
/// resumes the threads that it keeps.
///
/// When a connection is lost, the requests in flight fail with [`Error::Indeterminate`], and the
/// turns being read with [`TurnErrorKind::Closed`]. Nothing is sent again: whether to repeat a
/// request is the caller's decision. [`Thread::find_message`] finds out what became of a message,
/// [`finish`](Self::finish) waits for a turn all the same, and
/// [`thread_events`](Self::thread_events) yields what was missed.
///
/// A [`CasClient`] and a [`Thread`] belong to one connection; [`client`](Self::client) and
/// [`thread`](Self::thread) return those of the current one and wait while there is none.
///
/// Clones share one supervisor. [`shutdown`](Self::shutdown), or dropping the last clone and all
/// clients and threads, ends a server that the supervisor started. If it joined the server, only
/// the connection ends. [`CasClient::shutdown`] on one of its clients also ends the supervisor.
///
/// ```no_run
/// # async fn run() -> Result<(), cas_sdk::Error> {
/// use cas_sdk::{CasClient, supervisor::Restart};
/// let supervisor = CasClient::builder().cwd("/repo").supervise(Restart::default()).await?;
/// let thread = supervisor.start_thread(Default::default()).await?;
/// let turn = thread.ask("Why is the build red?").await?;
/// let outcome = supervisor.finish(turn).await?; // Whatever happens to the connection meanwhile.
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Supervisor(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    stop: watch::Sender<bool>,
    _task: AbortOnDrop<()>,
}

impl Builder {
    /// Starts the server as [`spawn`](Self::spawn) does, and restarts it whenever it ends by
    /// itself.
    ///
    /// A failed first start is retried only if its error [is retryable](Error::is_retryable), with
    /// the attempts and pauses of the policy.
    ///
    /// # Errors
    /// Same errors as [`spawn`](Self::spawn).
    pub async fn supervise(self, policy: Restart) -> Result<Supervisor, Error> {
        Supervisor::start(Source::Start(Box::new(self)), policy).await
    }

    /// Joins a server that somebody else runs as [`connect_to`](Self::connect_to) does, and
    /// connects again whenever the connection is lost, because the server has ended or answers no
    /// ping. The supervisor never starts or ends the server itself.
    ///
    /// If the server at the address now has another home or, unless the endpoint accepts [any
    /// version](Endpoint::any_version), another version, the supervisor gives up with
    /// [`ConnectErrorKind::OtherServer`](crate::error::ConnectErrorKind::OtherServer). A server
    /// that is about to shut down refuses to resume threads. The supervisor then waits until it has
    /// ended, which takes as long as its running turns, and goes on with the next server.
    ///
    /// A failed first attempt is retried only if its error [is retryable](Error::is_retryable).
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// use std::time::Duration;
    /// use cas_sdk::{CasClient, supervisor::Restart};
    /// let policy = Restart::default().attempts(20);
    /// let supervisor = CasClient::builder().supervise_connection("unix://", policy).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same errors as [`connect_to`](Self::connect_to).
    #[cfg(feature = "ws")]
    pub async fn supervise_connection<E>(
        self,
        endpoint: E,
        policy: Restart,
    ) -> Result<Supervisor, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<ConnectError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        let source = Source::Join {
            builder: Box::new(self),
            endpoint: Box::new(endpoint),
            first: None,
        };
        Supervisor::start(source, policy).await
    }
}

impl Supervisor {
    async fn start(mut source: Source, policy: Restart) -> Result<Self, Error> {
        let mut failures = 0;
        let client = loop {
            match source.connect().await {
                Ok(client) => break client,
                Err(error) if error.is_retryable() && failures < policy.attempts => {
                    let pause = policy.backoff.pause(failures);
                    failures += 1;
                    tracing::warn!(target: "cas_sdk", %error, ?pause, "the supervisor tries again");
                    sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        };
        let core = Arc::new(Core::new(client.clone()));
        let (stop, stopped) = watch::channel(false);
        let task = Task {
            core: core.clone(),
            source,
            policy,
            stopped,
            epoch: 0,
        };
        let task = AbortOnDrop(tokio::spawn(task.run(client)));
        Ok(Self(Arc::new(Inner {
            core,
            stop,
            _task: task,
        })))
    }

    /// The client of the current connection. Waits while there is none.
    ///
    /// # Errors
    /// The last failure if the supervisor has given up; [`Error::Closed`] after a shutdown.
    pub async fn client(&self) -> Result<CasClient, Error> {
        self.current(|client, _| client.clone()).await
    }

    /// Waits for an open connection and returns what `get` reads from it.
    async fn current<T>(&self, get: impl Fn(&CasClient, &Current) -> T) -> Result<T, Error> {
        let core = &self.0.core;
        let mut state = core.state.subscribe();
        loop {
            // NB. A change after this line wakes the wait below.
            let end = match &*state.borrow_and_update() {
                ServerState::GaveUp { error } => Some(error.clone()),
                ServerState::Stopped => Some(shut_down()),
                _ => None,
            };
            if let Some(error) = end {
                return Err(error);
            }
            {
                let current = core.lock();
                if let Some(client) = current.client.as_ref().filter(|client| is_open(client)) {
                    return Ok(get(client, &current));
                }
            }
            if state.changed().await.is_err() {
                return Err(shut_down());
            }
        }
    }

    /// Starts a thread on the current server (`thread/start`) and [keeps](Self::keep) it.
    ///
    /// # Errors
    /// Same errors as [`client`](Self::client) and [`CasClient::start_thread`].
    pub async fn start_thread(&self, params: ThreadStartParams) -> Result<Thread, Error> {
        let thread = self.client().await?.start_thread(params).await?;
        self.keep(&thread);
        Ok(thread)
    }

    /// Resumes a thread on every later connection, with the handlers that it was opened with. These
    /// handlers answer for the thread if this program started the thread or its server.
    ///
    /// A thread without a turn is not stored, so it is lost with its server.
    pub fn keep(&self, thread: &Thread) {
        self.0.core.keep(thread);
    }

    /// Undoes [`keep`](Self::keep).
    pub fn forget(&self, id: &str) {
        let before = self.0.core.lock().threads.remove(id);
        drop(before);
    }

    /// A kept thread on the current connection. Waits while there is none. Resumes a thread that
    /// could not be resumed when the connection was made.
    ///
    /// # Errors
    /// Same errors as [`client`](Self::client) and [`CasClient::resume_thread`]. [`Error::Invalid`]
    /// if the thread is not kept.
    pub async fn thread(&self, id: &str) -> Result<Thread, Error> {
        // NB. Read these together: the next connection has another number and other threads.
        let current = self.current(|client, current| {
            let kept = current.threads.get(id).cloned();
            (client.clone(), current.epoch, kept)
        });
        let (client, epoch, kept) = current.await?;
        let kept = kept.ok_or_else(|| not_kept(id))?;
        if let Some(thread) = kept.thread.as_ref().filter(|t| is_open(t.client())) {
            return Ok(thread.clone());
        }
        self.0.core.resume(&client, epoch, id, kept).await
    }

    /// Waits for the end of a turn across connections, and returns the outcome as [`Turn::finish`]
    /// does. [Keeps](Self::keep) the thread of the turn.
    ///
    /// If the connection is lost, `finish` looks for the turn on the next connection. It waits for
    /// a turn that still runs. The outcome of a turn that has ended meanwhile comes from the
    /// server's record and is marked as [recovered](TurnOutcome::recovered). A turn that ended with
    /// its server counts as interrupted. The deadline and the idle check of the turn end with its
    /// first connection. From then on, dropping the turn does not interrupt it.
    ///
    /// # Errors
    /// Same errors as [`Turn::finish`]. [`TurnErrorKind::Closed`], with everything that was
    /// collected, if the supervisor gives up or is shut down, if the thread can't be resumed, or if
    /// the server ended before it had recorded the turn.
    pub async fn finish(&self, turn: Turn) -> Result<TurnOutcome, Error> {
        let (thread, id) = (turn.thread().clone(), turn.id().to_owned());
        let is_kept = self.0.core.lock().threads.contains_key(thread.id());
        if !is_kept {
            self.keep(&thread);
        }
        let cut_off = match turn.finish().await {
            Err(error) if is_cut_off(&error) => error,
            outcome => return outcome,
        };
        let mut absent = false;
        loop {
            let thread = match self.thread(thread.id()).await {
                Ok(thread) => thread,
                // It was lost once more.
                Err(error) if error.close_reason().is_some() && !self.state().is_last() => continue,
                Err(_) => return Err(cut_off),
            };
            let found = match thread.turn(id.as_str()).await {
                Ok(turn) => turn.finish().await,
                Err(error) => Err(error),
            };
            match found {
                Err(error) if error.close_reason().is_some() => {}
                // The server ended before it had recorded the turn, or is about to record it.
                Err(Error::Invalid(_)) if absent => return Err(cut_off),
                Err(Error::Invalid(_)) => {
                    absent = true;
                    sleep(SETTLED).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// The events of a kept thread from now on, across connections: those that the server sends,
    /// and after each reconnection what was missed.
    ///
    /// When a connection is lost, the stream yields [`Lost`](ThreadEvent::Lost). Once the thread is
    /// resumed, the stream reads the server's record from the last known item on, and yields each
    /// new item and each new end of a turn as [`Recovered`](ThreadEvent::Recovered), exactly once.
    /// Then [`Reconnected`](ThreadEvent::Reconnected) sums up the gap and has the running turn. A
    /// recovered item is never yielded as a live event too, neither whole nor in pieces.
    ///
    /// ```no_run
    /// # async fn run(supervisor: cas_sdk::Supervisor, id: &str) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::supervisor::ThreadEvent;
    /// let mut events = supervisor.thread_events(id).await?;
    /// while let Some(event) = events.next().await {
    ///     match event? {
    ///         ThreadEvent::Live { event, .. } => println!("{}", event.method()),
    ///         ThreadEvent::Lost { error } => println!("{error}"),
    ///         ThreadEvent::Recovered(missed) => println!("meanwhile: {missed:?}"),
    ///         ThreadEvent::Reconnected { gap, .. } => println!("{} items were missed", gap.items),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same errors as [`client`](Self::client) and [`CasClient::request`]: the server is asked where
    /// its record ends. [`Error::Invalid`] if the thread is not kept.
    pub async fn thread_events(&self, id: &str) -> Result<ThreadEvents, Error> {
        loop {
            let thread = self.thread(id).await?;
            match ThreadEvents::open(self.0.core.clone(), id).await {
                Err(_) if !is_open(thread.client()) => {}
                events => return events,
            }
        }
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.0.core.state.borrow().clone()
    }

    /// A stream of the current state and of each change. A slow reader skips intermediate states,
    /// never the last one; the epoch reveals a loss that it missed.
    pub fn states(&self) -> ServerStates {
        let state = self.0.core.state.subscribe();
        ServerStates::new(state)
    }

    /// Ends the server or the connection as [`CasClient::shutdown`] does, and does not reconnect.
    /// Returns when the server or the connection is gone.
    pub async fn shutdown(&self) {
        let mut state = self.0.core.state.subscribe();
        self.0.stop.send_replace(true);
        // An error means that the task has ended, and with it the server.
        let _ = state.wait_for(ServerState::is_last).await;
    }
}

/// Whether a turn's reader was cut off by the end of the connection.
fn is_cut_off(error: &Error) -> bool {
    matches!(error, Error::Turn(turn) if matches!(turn.kind, TurnErrorKind::Closed(_)))
}

fn not_kept(id: &str) -> Error {
    let text = format!("thread {id} is not kept by this supervisor; call `keep` first");
    Error::Invalid(text)
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("state", &*self.0.core.state.borrow())
            .finish_non_exhaustive()
    }
}

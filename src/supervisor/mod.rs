//! A server that is started again when it has ended by itself, and its threads taken up again.

mod policy;
mod state;

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{Either, join_all, select};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    Builder, CasClient, Thread,
    client::{connection_task::AbortOnDrop, handle::HandlerSet},
    error::{CloseCause, CloseReason, Error},
    protocol::ThreadStartParams,
};

pub use policy::Restart;
pub use state::{ServerState, ServerStates};

/// Looks after a server: starts it again when it has crashed, and takes up the threads that it was told to keep.
///
/// A turn that ran when the server crashed fails with [`TurnErrorKind::Closed`](crate::turn::TurnErrorKind::Closed), and
/// requests with [`Error::Closed`]: whether to ask again is the caller's decision. A [`CasClient`] and a [`Thread`] are
/// of one server; [`client`](Self::client) and [`thread`](Self::thread) give those of the present one and wait for it
/// while it is being started.
///
/// Clones are the same supervisor. [`shutdown`](Self::shutdown), or the drop of the last clone and of all clients and
/// threads, ends the server. A shutdown by one of its clients ends the supervisor too.
///
/// ```no_run
/// # async fn run() -> Result<(), cas_sdk::Error> {
/// use cas_sdk::{CasClient, Error, supervisor::Restart, turn::TurnErrorKind};
/// let supervisor = CasClient::builder().cwd("/repo").supervise(Restart::default()).await?;
/// let id = supervisor.start_thread(Default::default()).await?.id().to_owned();
/// let answer = loop {
///     let turn = supervisor.thread(&id).await?.ask("Why is the build red?").await?;
///     match turn.finish().await {
///         Err(Error::Turn(end)) if matches!(end.kind, TurnErrorKind::Closed(_)) => {} // It crashed; once more.
///         outcome => break outcome?.text,
///     }
/// };
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Supervisor(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    stop: watch::Sender<bool>,
    _task: AbortOnDrop<()>,
}

struct Core {
    now: Mutex<Now>,
    state: watch::Sender<ServerState>,
}

#[derive(Default)]
struct Now {
    client: Option<CasClient>,
    threads: HashMap<String, Kept>,
}

#[derive(Clone)]
struct Kept {
    handlers: Option<HandlerSet>,
    thread: Option<Thread>,
}

impl Builder {
    /// Starts the server as [`spawn`](Self::spawn) does, and starts it again whenever it has ended by itself.
    ///
    /// The first start is made again only where its failure [is retryable](Error::is_retryable), as often and after the
    /// pauses that the policy says.
    ///
    /// # Errors
    /// As of [`spawn`](Self::spawn).
    pub async fn supervise(self, policy: Restart) -> Result<Supervisor, Error> {
        let mut failures = 0;
        let client = loop {
            match Box::pin(self.clone().spawn()).await {
                Ok(client) => break client,
                Err(error) if error.is_retryable() && failures < policy.attempts => {
                    let pause = policy.backoff.pause(failures);
                    failures += 1;
                    tracing::warn!(target: "cas_sdk", %error, ?pause, "the server is started again");
                    sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        };
        let (state, _) = watch::channel(ServerState::Running {
            restarts: 0,
            lost: Vec::new(),
        });
        let core = Arc::new(Core {
            now: Mutex::new(Now {
                client: Some(client.clone()),
                threads: HashMap::new(),
            }),
            state,
        });
        let (stop, stopped) = watch::channel(false);
        let task = Task {
            core: core.clone(),
            builder: self,
            policy,
            stopped,
            restarts: 0,
        };
        let task = AbortOnDrop(tokio::spawn(task.run(client)));
        Ok(Supervisor(Arc::new(Inner {
            core,
            stop,
            _task: task,
        })))
    }
}

impl Supervisor {
    /// The client of the server that runs. While there is none, it waits for the next.
    ///
    /// # Errors
    /// Why the server was given up; [`Error::Closed`] after a shutdown.
    pub async fn client(&self) -> Result<CasClient, Error> {
        let core = &self.0.core;
        let mut state = core.state.subscribe();
        loop {
            // NB. What changes after this look wakes the wait below.
            let end = match &*state.borrow_and_update() {
                ServerState::GaveUp { error } => Some(error.clone()),
                ServerState::Stopped => Some(shut_down()),
                _ => None,
            };
            if let Some(error) = end {
                return Err(error);
            }
            if let Some(client) = core.lock().client.clone().filter(is_open) {
                return Ok(client);
            }
            if state.changed().await.is_err() {
                return Err(shut_down());
            }
        }
    }

    /// `thread/start` on the present server, and [`keep`](Self::keep).
    ///
    /// # Errors
    /// As of [`client`](Self::client) and [`CasClient::start_thread`].
    pub async fn start_thread(&self, params: ThreadStartParams) -> Result<Thread, Error> {
        let thread = self.client().await?.start_thread(params).await?;
        self.keep(&thread);
        Ok(thread)
    }

    /// Has a thread taken up again by each server that is started from now on, with the handlers it was opened with.
    ///
    /// A thread that has had no turn yet is not stored, so it is lost with its server.
    pub fn keep(&self, thread: &Thread) {
        let kept = Kept {
            handlers: thread.client().handler_set(),
            thread: Some(thread.clone()),
        };
        let before = self
            .0
            .core
            .lock()
            .threads
            .insert(thread.id().to_owned(), kept);
        drop(before);
    }

    /// Undoes [`keep`](Self::keep).
    pub fn forget(&self, id: &str) {
        let before = self.0.core.lock().threads.remove(id);
        drop(before);
    }

    /// A thread that is kept, in the server that runs. While there is none, it waits for the next. A thread that could
    /// not be taken up when the server was started is tried again.
    ///
    /// # Errors
    /// As of [`client`](Self::client) and [`CasClient::resume_thread`]; [`Error::Invalid`] if the thread is not kept.
    pub async fn thread(&self, id: &str) -> Result<Thread, Error> {
        let client = self.client().await?;
        let Some(kept) = self.0.core.lock().threads.get(id).cloned() else {
            let text = format!("thread {id} is not kept by this supervisor");
            return Err(Error::Invalid(text));
        };
        if let Some(thread) = kept.thread.filter(|thread| is_open(thread.client())) {
            return Ok(thread);
        }
        let client = client.with_handler_set(kept.handlers);
        let thread = client.resume_thread(id).await?;
        self.0.core.took_up(id, &thread);
        Ok(thread)
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.0.core.state.borrow().clone()
    }

    /// How it stands now, and each change from now on. A reader that is slow skips states that are past, not the last
    /// one; `restarts` tells whether it has missed a crash.
    pub fn states(&self) -> ServerStates {
        let state = self.0.core.state.subscribe();
        ServerStates::new(state)
    }

    /// Ends the server, as [`CasClient::shutdown`] does, and starts it no more. Returns when it is gone.
    pub async fn shutdown(&self) {
        let mut state = self.0.core.state.subscribe();
        self.0.stop.send_replace(true);
        // An error is the end of the task, and so of the server.
        let _ = state.wait_for(ServerState::is_last).await;
    }
}

/// The task that sees the server end.
struct Task {
    core: Arc<Core>,
    builder: Builder,
    policy: Restart,
    stopped: watch::Receiver<bool>,
    restarts: u64,
}

impl Task {
    async fn run(mut self, mut client: CasClient) {
        let mut failures = 0;
        loop {
            let since = Instant::now();
            // Both can be waited for again.
            let ended = {
                let stopped = pin!(self.stopped.wait_for(|stop| *stop));
                match select(pin!(client.closed()), stopped).await {
                    Either::Left((reason, _)) => Some(reason),
                    Either::Right(_) => None,
                }
            };
            let reason = match ended {
                Some(reason) => reason,
                None => client.shutdown().await,
            };
            if reason.cause == CloseCause::Shutdown || *self.stopped.borrow() {
                return self.core.end(ServerState::Stopped);
            }
            if since.elapsed() >= self.policy.steady {
                failures = 0;
            }
            client = match self.start_again(Error::Closed(reason), &mut failures).await {
                Ok(client) => client,
                Err(end) => return self.core.end(end),
            };
            let lost = self.take_up_threads(&client).await;
            self.restarts += 1;
            let before = self.core.lock().client.replace(client.clone());
            drop(before);
            self.core.state.send_replace(ServerState::Running {
                restarts: self.restarts,
                lost,
            });
        }
    }

    /// Until a start succeeds, or no more are to be.
    async fn start_again(
        &mut self,
        mut error: Error,
        failures: &mut u32,
    ) -> Result<CasClient, ServerState> {
        loop {
            if *failures >= self.policy.attempts {
                return Err(ServerState::GaveUp { error });
            }
            let pause = self.policy.backoff.pause(*failures);
            *failures += 1;
            let attempt = *failures;
            tracing::warn!(target: "cas_sdk", %error, ?pause, attempt, "the server is started again");
            self.core.state.send_replace(ServerState::Restarting {
                attempt: *failures,
                pause,
                error,
            });
            let stopped = pin!(self.stopped.wait_for(|stop| *stop));
            if let Either::Right(_) = select(pin!(sleep(pause)), stopped).await {
                return Err(ServerState::Stopped);
            }
            // Not broken off by a stop: it ends within its own deadline, and then it is known that nothing is left. The
            // stop is seen by who called.
            match self.builder.clone().spawn().await {
                Ok(client) => return Ok(client),
                Err(e) => error = e,
            }
        }
    }

    /// All at once. Returns those that can't be had.
    async fn take_up_threads(&self, client: &CasClient) -> Vec<(String, Error)> {
        let kept: Vec<_> = {
            let now = self.core.lock();
            let kept = now.threads.iter();
            kept.map(|(id, kept)| (id.clone(), kept.handlers.clone()))
                .collect()
        };
        let taken = join_all(kept.into_iter().map(|(id, handlers)| async move {
            let client = client.with_handler_set(handlers);
            let taken = client.resume_thread(id.as_str()).await;
            (id, taken)
        }));
        let mut lost = Vec::new();
        for (id, taken) in taken.await {
            match taken {
                Ok(thread) => self.core.took_up(&id, &thread),
                Err(error) => lost.push((id, error)),
            }
        }
        lost
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // It has ended, or its runtime has, or nobody holds the supervisor any more.
        if !self.core.state.borrow().is_last() {
            self.core.end(ServerState::Stopped);
        }
    }
}

impl Core {
    /// A kept thread is now this one.
    fn took_up(&self, id: &str, thread: &Thread) {
        let mut now = self.lock();
        let kept = now.threads.get_mut(id);
        let before = kept.and_then(|kept| kept.thread.replace(thread.clone()));
        drop(now);
        drop(before); // Perhaps the last of its client, with the handlers of others.
    }

    /// Tells the end, and lets go of what would keep the server alive.
    fn end(&self, state: ServerState) {
        let now = std::mem::take(&mut *self.lock());
        drop(now);
        self.state.send_replace(state);
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_open(client: &CasClient) -> bool {
    client.close_reason().is_none()
}

fn shut_down() -> Error {
    Error::Closed(Arc::new(CloseReason::shutdown()))
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("state", &*self.0.core.state.borrow())
            .finish_non_exhaustive()
    }
}

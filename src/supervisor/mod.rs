//! `Supervisor`: restarts a server that has crashed and resumes its threads.

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
    client::{connection_task::AbortOnDrop, tracker::HandlerSet},
    error::{CloseCause, CloseReason, Error},
    protocol::ThreadStartParams,
};

pub use policy::Restart;
pub use state::{ServerState, ServerStates};

/// Restarts a server when it crashes, and resumes the threads that it keeps.
///
/// A turn that ran when the server crashed fails with
/// [`TurnErrorKind::Closed`](crate::turn::TurnErrorKind::Closed), and requests with [`Error::Closed`].
/// Whether to repeat them is the caller's decision. A [`CasClient`] and a [`Thread`] belong to one
/// server process; [`client`](Self::client) and [`thread`](Self::thread) return those of the
/// current one and wait while it starts.
///
/// Clones share one supervisor. [`shutdown`](Self::shutdown), or dropping the last clone and all
/// clients and threads, ends the server. A shutdown by one of its clients also ends the supervisor.
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
    current: Mutex<Current>,
    state: watch::Sender<ServerState>,
}

#[derive(Default)]
struct Current {
    client: Option<CasClient>,
    threads: HashMap<String, KeptThread>,
}

#[derive(Clone)]
struct KeptThread {
    handlers: Option<HandlerSet>,
    thread: Option<Thread>,
}

impl Builder {
    /// Starts the server as [`spawn`](Self::spawn) does, and restarts it whenever it ends by
    /// itself.
    ///
    /// A failed first start is repeated only if its error [is retryable](Error::is_retryable), with
    /// the attempts and pauses of the policy.
    ///
    /// # Errors
    /// Same errors as [`spawn`](Self::spawn).
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
            current: Mutex::new(Current {
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
    /// The client of the running server. Waits while the server restarts.
    ///
    /// # Errors
    /// The last failure if the supervisor has given up; [`Error::Closed`] after a shutdown.
    pub async fn client(&self) -> Result<CasClient, Error> {
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
            if let Some(client) = core.lock().client.clone().filter(is_open) {
                return Ok(client);
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

    /// Resumes a thread on every server that starts from now on, with the handlers it was opened
    /// with.
    ///
    /// A thread without a turn is not stored, so it is lost with its server.
    pub fn keep(&self, thread: &Thread) {
        let kept = KeptThread {
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

    /// A kept thread on the running server. Waits while the server restarts. Resumes a thread that
    /// could not be resumed when the server started.
    ///
    /// # Errors
    /// Same errors as [`client`](Self::client) and [`CasClient::resume_thread`]. [`Error::Invalid`]
    /// if the thread is not kept.
    pub async fn thread(&self, id: &str) -> Result<Thread, Error> {
        let client = self.client().await?;
        let Some(kept) = self.0.core.lock().threads.get(id).cloned() else {
            let text = format!("thread {id} is not kept by this supervisor; call `keep` first");
            return Err(Error::Invalid(text));
        };
        if let Some(thread) = kept.thread.filter(|thread| is_open(thread.client())) {
            return Ok(thread);
        }
        let client = client.with_handler_set(kept.handlers);
        let thread = client.resume_thread(id).await?;
        self.0.core.replace_thread(id, &thread);
        Ok(thread)
    }

    /// The current state of the server.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.0.core.state.borrow().clone()
    }

    /// A stream of the current state and of each change. A slow reader skips intermediate states,
    /// never the last one; the count of restarts reveals a crash that it missed.
    pub fn states(&self) -> ServerStates {
        let state = self.0.core.state.subscribe();
        ServerStates::new(state)
    }

    /// Ends the server as [`CasClient::shutdown`] does, without a restart. Returns when it is gone.
    pub async fn shutdown(&self) {
        let mut state = self.0.core.state.subscribe();
        self.0.stop.send_replace(true);
        // An error means that the task has ended, and with it the server.
        let _ = state.wait_for(ServerState::is_last).await;
    }
}

/// The task that waits for the server's end.
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
            // Both waits are cancel safe.
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
            let lost = self.resume_threads(&client).await;
            self.restarts += 1;
            let before = self.core.lock().client.replace(client.clone());
            drop(before);
            self.core.state.send_replace(ServerState::Running {
                restarts: self.restarts,
                lost,
            });
        }
    }

    /// Starts the server until a start succeeds or the policy gives up.
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
            // A stop does not cancel the start: the start ends within its own deadline and leaves
            // nothing running. The caller sees the stop.
            match self.builder.clone().spawn().await {
                Ok(client) => return Ok(client),
                Err(e) => error = e,
            }
        }
    }

    /// Resumes all kept threads at once. Returns those that cannot be resumed.
    async fn resume_threads(&self, client: &CasClient) -> Vec<(String, Error)> {
        let kept: Vec<_> = {
            let current = self.core.lock();
            let kept = current.threads.iter();
            kept.map(|(id, kept)| (id.clone(), kept.handlers.clone()))
                .collect()
        };
        let resumed = join_all(kept.into_iter().map(|(id, handlers)| async move {
            let client = client.with_handler_set(handlers);
            let resumed = client.resume_thread(id.as_str()).await;
            (id, resumed)
        }));
        let mut lost = Vec::new();
        for (id, resumed) in resumed.await {
            match resumed {
                Ok(thread) => self.core.replace_thread(&id, &thread),
                Err(error) => lost.push((id, error)),
            }
        }
        lost
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // The task is done, its runtime ends, or the last supervisor is dropped.
        if !self.core.state.borrow().is_last() {
            self.core.end(ServerState::Stopped);
        }
    }
}

impl Core {
    /// Replaces the handle of a kept thread.
    fn replace_thread(&self, id: &str, thread: &Thread) {
        let mut current = self.lock();
        let kept = current.threads.get_mut(id);
        let before = kept.and_then(|kept| kept.thread.replace(thread.clone()));
        drop(current);
        drop(before); // NB. After the lock: this may drop a client, and with it handlers of the user.
    }

    /// Publishes the last state, and drops what would keep the server alive.
    fn end(&self, state: ServerState) {
        let current = std::mem::take(&mut *self.lock());
        drop(current);
        self.state.send_replace(state);
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
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

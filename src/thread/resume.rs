//! `Resume`: loading a stored thread, with fallbacks for a thread that can't be resumed.

use std::{
    future::{Future, IntoFuture},
    io::{self, Read as _},
    path::{Path, PathBuf},
    pin::Pin,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    handle::{OpenedBy, Thread},
    overrides,
    stop::pause_goal,
};
use crate::{
    client::{handle::CasClient, time},
    error::{Error, RpcErrorKind},
    protocol::{
        Call, SortDirection, ThreadForkParams, ThreadResumeInitialTurnsPageParams,
        ThreadResumeParams, ThreadStartParams, ThreadUnarchiveParams, TurnItemsView,
    },
    transport::private_files::open_regular,
};

/// A thread about to be resumed, with fallbacks in case the thread can't be resumed; see
/// [`CasClient::resume_thread`]. [`Thread::opened_by`] says how the thread was opened. A refusal
/// that no method of this type deals with is returned as an error.
///
/// On a server that other clients may use, params that would change the settings of a thread are
/// refused with [`Error::Invalid`] if the thread is loaded, since the server would silently ignore
/// them.
#[derive(Debug, Clone)]
#[must_use = "a thread is not resumed until this is awaited"]
pub struct Resume {
    client: CasClient,
    params: ThreadResumeParams,
    timeout: Option<Duration>,
    fork: bool,
    unarchive: bool,
    start: Option<Box<ThreadStartParams>>,
    goal: GoalOnResume,
}

/// What happens to an active goal when its thread is resumed; see [`Resume::goal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GoalOnResume {
    /// The goal stays active: the server starts a turn within milliseconds of the response.
    /// [`Thread::goal`] returns the goal.
    #[default]
    Keep,
    /// The goal is paused before the thread is resumed, so that no turn starts.
    /// [`Goal::resume`](crate::turn::Goal::resume) makes the goal active again.
    Pause,
}

impl Resume {
    pub(super) fn new(client: &CasClient, params: ThreadResumeParams) -> Self {
        Self {
            client: client.clone(),
            params,
            timeout: None,
            fork: false,
            unarchive: false,
            start: None,
            goal: GoalOnResume::Keep,
        }
    }

    /// Sets the deadline of the whole operation, fallbacks included. Default: the builder's
    /// [`request_timeout`](crate::Builder::request_timeout) for each request.
    ///
    /// A thread whose response arrives after the deadline is followed all the same. The response is
    /// an event of kind [`LateResponse`](crate::events::MessageKind::LateResponse), and
    /// [`CasClient::thread`] gives a handle to the thread.
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// Forks the thread if another process has it: only one process at a time can write to a
    /// thread.
    ///
    /// A fork can't take the `history` of the params: if the params have one, the server's refusal
    /// is returned. The fork leaves out the other params that `thread/fork` does not have,
    /// `initialTurnsPage` and `personality`.
    pub fn or_fork(mut self) -> Self {
        self.fork = true;
        self
    }

    /// Unarchives the thread first if it is archived.
    pub fn or_unarchive(mut self) -> Self {
        self.unarchive = true;
        self
    }

    /// Starts a new thread if nothing is stored of this one, because it doesn't exist or has had no
    /// turn yet.
    ///
    /// A new thread never replaces an existing history. [`Error::Invalid`] is returned and no
    /// thread is started if the thread is ephemeral and loaded in this server, if its file exists
    /// but can't be read, or if the params have a `history`.
    pub fn or_start(mut self, params: ThreadStartParams) -> Self {
        self.start = Some(Box::new(params));
        self
    }

    /// Sets what happens to an active goal of the thread. The resume alone makes the server start a
    /// turn for an active goal. Default: [`Keep`](GoalOnResume::Keep).
    pub fn goal(mut self, goal: GoalOnResume) -> Self {
        self.goal = goal;
        self
    }

    async fn run(self) -> Result<Thread, Error> {
        let Self {
            client,
            mut params,
            timeout,
            fork,
            unarchive,
            start,
            goal,
        } = self;
        let deadline = timeout.map(time::deadline);
        let left = || {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            left.unwrap_or_else(|| client.request_timeout())
        };
        // The error names the deadline that was set, not the time that was left.
        let told = |error: Error| match timeout {
            Some(timeout) => error.within(timeout),
            None => error,
        };
        params.exclude_turns.get_or_insert(true);
        let id = &params.thread_id;
        let has_history = params.history.is_some();
        if goal == GoalOnResume::Pause {
            pause_goal(&client.thread(id.as_str()))
                .await
                .map_err(told)?;
        }
        overrides::check(&client, &params).await.map_err(told)?;
        let resume = |opened_by| client.open_thread(&params, opened_by, left());
        let mut opened = resume(OpenedBy::Resumed).await;
        if unarchive && is(&opened, &RpcErrorKind::Archived) {
            let unarchive = client.request(ThreadUnarchiveParams::new(id));
            unarchive.timeout(left()).raw().await.map_err(told)?;
            opened = resume(OpenedBy::Unarchived).await;
        }
        if fork && !has_history && is(&opened, &RpcErrorKind::ActiveWriter) {
            return client
                .open_thread(&as_fork(&params)?, OpenedBy::Forked, left())
                .await
                .map_err(told);
        }
        let Some(start) = start.filter(|_| is_missing(&opened)) else {
            return opened.map_err(told);
        };
        if is_empty_file(&opened) {
            // A thread that is being started elsewhere has an empty file for a moment.
            sleep(SETTLED.min(left())).await;
            opened = resume(OpenedBy::Resumed).await;
            if !is_missing(&opened) {
                return opened.map_err(told);
            }
        }
        if has_history {
            let text = format!(
                "thread {id} is not stored, and a new one would not have the `history` of the params"
            );
            return Err(Error::Invalid(text));
        }
        if let Some(problem) = at_stake(&client, id, &opened).await {
            return Err(Error::Invalid(problem));
        }
        client
            .start_thread_within(*start, left())
            .await
            .map_err(told)
    }
}

/// Asks for the newest turns with their items in the response to a resume. No other response has
/// the items of the running turn.
pub(crate) fn newest_turns(count: u32) -> ThreadResumeInitialTurnsPageParams {
    ThreadResumeInitialTurnsPageParams::default()
        .limit(count)
        .sort_direction(SortDirection::Desc)
        .items_view(TurnItemsView::Full)
}

/// The same params for `thread/fork`, without those that `thread/fork` does not have.
fn as_fork(params: &ThreadResumeParams) -> Result<ThreadForkParams, Error> {
    let encode = |e| Error::encode(ThreadForkParams::METHOD, &e);
    let fields = serde_json::to_string(params).map_err(encode)?;
    serde_json::from_str(&fields).map_err(encode)
}

/// How long the file of a new thread may be empty.
const SETTLED: Duration = Duration::from_millis(500);

fn is_missing(opened: &Result<Thread, Error>) -> bool {
    is(opened, &RpcErrorKind::ThreadMissing) || is(opened, &RpcErrorKind::NoTurnsYet)
}

/// The file of the thread, if the server says that the file is empty. The server says so, too, of a
/// file whose first line is damaged.
fn empty_file(opened: &Result<Thread, Error>) -> Option<&Path> {
    let message = &opened.as_ref().err()?.rpc()?.message;
    let (path, rest) = message
        .rsplit_once("rollout at ")?
        .1
        .rsplit_once(" is empty")?;
    rest.is_empty().then_some(Path::new(path))
}

fn is_empty_file(opened: &Result<Thread, Error>) -> bool {
    empty_file(opened).is_some()
}

/// What would be lost if a new thread took the place of one that can't be resumed.
async fn at_stake(client: &CasClient, id: &str, opened: &Result<Thread, Error>) -> Option<String> {
    if let Some(file) = empty_file(opened) {
        // The file is missing here if the server is on another machine. Then only the server knows.
        let beginning = beginning(file.to_owned());
        if !beginning.await.trim_ascii().is_empty() {
            let file = file.display();
            return Some(format!(
                "thread {id} can't be resumed and no new one was started in its place: the server can't read {file}, but it is not empty"
            ));
        }
    }
    // An ephemeral thread has no file, but may have a history: the server does not say.
    let alive = client.thread(id).fetch().await.ok()?;
    alive.ephemeral.then(|| {
        format!(
            "thread {id} is ephemeral and lives in this server; a new one would leave its history behind: use `client.thread(id)`"
        )
    })
}

/// The first bytes of a file; empty if the file can't be read here, as a pipe can't.
async fn beginning(file: PathBuf) -> Vec<u8> {
    let read = move || {
        let mut bytes = Vec::new();
        let file = open_regular(&file)?;
        file.take(64 * 1024).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.ok().and_then(Result::ok).unwrap_or_default()
}

fn is(opened: &Result<Thread, Error>, kind: &RpcErrorKind) -> bool {
    opened
        .as_ref()
        .is_err_and(|error| error.rpc_kind().as_ref() == Some(kind))
}

impl IntoFuture for Resume {
    type Output = Result<Thread, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mkfifoat(CWD, &path, Mode::RWXU).unwrap();
        let read = tokio::spawn(beginning(path.clone()));
        // A reader that waits gets a writer, so that it does not keep the test from ending.
        let other = move || std::fs::File::options().read(true).write(true).open(path);
        let waits = tokio::time::timeout(Duration::from_secs(20), read).await;
        drop(other());
        assert_eq!(waits.expect("a pipe was waited for").unwrap(), b"");
    }
}

//! Opening threads: a new one, a stored one, a copy; and what to do where a stored one can't be had.

use std::{
    future::{Future, IntoFuture},
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
    pin::Pin,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    CasClient, Origin, Thread,
    client::time,
    error::{Error, RpcErrorKind},
    protocol::pointer::at,
    protocol::{Call, ThreadForkParams, ThreadResumeParams, ThreadStartParams},
};

impl CasClient {
    /// `thread/start`: begins a thread and follows it. The registered tools are advertised on it.
    ///
    /// # Errors
    /// As of [`request`](Self::request); [`Error::Invalid`] if there are tools but the experimental API is off.
    pub async fn start_thread(&self, params: ThreadStartParams) -> Result<Thread, Error> {
        self.start_within(params, self.request_timeout()).await
    }

    async fn start_within(
        &self,
        params: ThreadStartParams,
        within: Duration,
    ) -> Result<Thread, Error> {
        let mut fields = object(ThreadStartParams::METHOD, &params)?;
        if let Some(tools) = self.advertised()? {
            // A list that the caller gave goes first; what is answered is what is registered.
            match fields.get_mut("dynamicTools").and_then(Value::as_array_mut) {
                Some(given) => given.extend(tools.as_array().cloned().unwrap_or_default()),
                None => {
                    fields.insert("dynamicTools".to_owned(), tools);
                }
            }
        }
        self.open::<ThreadStartParams>(fields, Origin::Started, within)
            .await
    }

    /// `thread/resume`: loads a stored thread and follows it; a plain id converts. The history is not sent along unless
    /// the params say `exclude_turns(false)`; page through it with `thread/turns/list`.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// let thread = client.resume_thread("thr_1").or_fork().or_unarchive().await?;
    /// println!("{:?}", thread.origin());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`request`](Self::request). Of the refusals, `ThreadMissing` means that the thread doesn't exist, is ephemeral
    /// or has had no turn yet, `ActiveWriter` that another process has it, `Archived` that it has been put away; [`Resume`]
    /// can deal with each.
    pub fn resume_thread(&self, params: impl Into<ThreadResumeParams>) -> Resume {
        Resume {
            client: self.clone(),
            params: params.into(),
            timeout: None,
            fork: false,
            unarchive: false,
            start: None,
        }
    }

    /// `thread/fork`: a new thread with the history of another, which may belong to another process.
    ///
    /// # Errors
    /// As of [`request`](Self::request).
    pub async fn fork_thread(&self, params: impl Into<ThreadForkParams>) -> Result<Thread, Error> {
        let mut fields = object(ThreadForkParams::METHOD, &params.into())?;
        fields.entry("excludeTurns").or_insert(true.into());
        self.open::<ThreadForkParams>(fields, Origin::Forked, self.request_timeout())
            .await
    }

    async fn open<C: Call>(
        &self,
        params: Map<String, Value>,
        origin: Origin,
        within: Duration,
    ) -> Result<Thread, Error> {
        self.check::<C>()?;
        self.handlers().tools.check()?;
        let params = Value::Object(params).to_string();
        let reply = self
            .send(C::METHOD, &params, Some(within), false, None)
            .await?;
        self.look_over(C::METHOD, reply.result()).await;
        let path = &["thread", "id"];
        let id = at(reply.result(), path)
            .map_err(|e| Error::decode_at(C::METHOD, reply.result(), path, &e))?;
        let text = reply.result().to_owned();
        Ok(Thread::new(self, id, origin, text))
    }
}

/// A thread about to be resumed, and what to do if it can't be; see [`CasClient::resume_thread`].
/// [`Thread::origin`] tells what was done. Without a word about it, what stands in the way is the error.
#[derive(Debug, Clone)]
#[must_use = "a thread is not resumed until this is awaited"]
pub struct Resume {
    client: CasClient,
    params: ThreadResumeParams,
    timeout: Option<Duration>,
    fork: bool,
    unarchive: bool,
    start: Option<Box<ThreadStartParams>>,
}

impl Resume {
    /// The deadline of the whole, what is done instead included. Default: the builder's
    /// [`request_timeout`](crate::Builder::request_timeout) for each request.
    ///
    /// A thread whose answer comes later is followed all the same: that is an event of kind
    /// [`LateResponse`](crate::MessageKind::LateResponse), and [`CasClient::thread`] takes it up.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// If another process has the thread, makes a copy of it: only one process at a time can write to a thread.
    ///
    /// A fork takes no `history` of one's own, so with params that have one the refusal stands. The other params that
    /// `thread/fork` does not have, `initialTurnsPage` and `personality`, are left out.
    #[inline]
    pub fn or_fork(mut self) -> Self {
        self.fork = true;
        self
    }

    /// If the thread is archived, brings it back first.
    #[inline]
    pub fn or_unarchive(mut self) -> Self {
        self.unarchive = true;
        self
    }

    /// If nothing is stored of the thread, because it doesn't exist or has had no turn yet, starts a new one.
    ///
    /// No history is given up for it. [`Error::Invalid`] is returned and no thread is started where one is at stake: the
    /// thread is ephemeral and lives in this server, its file is there and can't be read, or the params have a `history`.
    #[inline]
    pub fn or_start(mut self, params: ThreadStartParams) -> Self {
        self.start = Some(Box::new(params));
        self
    }

    async fn run(self) -> Result<Thread, Error> {
        let Self {
            client,
            params,
            timeout,
            fork,
            unarchive,
            start,
        } = self;
        let deadline = timeout.map(time::deadline);
        let left = || {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            left.unwrap_or_else(|| client.request_timeout())
        };
        // What is told is the deadline that was set, not what was left of it.
        let told = |error: Error| match timeout {
            Some(timeout) => error.within(timeout),
            None => error,
        };
        let mut fields = object(ThreadResumeParams::METHOD, &params)?;
        fields.entry("excludeTurns").or_insert(true.into());
        let id = fields.get("threadId").and_then(Value::as_str);
        let id = id.unwrap_or_default().to_owned();
        let has_history = fields.get("history").is_some_and(|given| !given.is_null());
        let resume = |origin| client.open::<ThreadResumeParams>(fields.clone(), origin, left());
        let mut opened = resume(Origin::Resumed).await;
        if unarchive && is(&opened, &RpcErrorKind::Archived) {
            let params = json!({"threadId": id});
            let unarchived = client.call_within::<Value>("thread/unarchive", &params, left());
            unarchived.await.map_err(told)?;
            opened = resume(Origin::Unarchived).await;
        }
        if fork && !has_history && is(&opened, &RpcErrorKind::ActiveWriter) {
            for field in ["initialTurnsPage", "personality"] {
                fields.remove(field); // Which a fork doesn't have.
            }
            return client
                .open::<ThreadForkParams>(fields, Origin::Forked, left())
                .await
                .map_err(told);
        }
        let Some(start) = start.filter(|_| is_missing(&opened)) else {
            return opened.map_err(told);
        };
        if is_empty_file(&opened) {
            // A thread that is being started elsewhere has an empty file for a moment.
            sleep(SETTLED.min(left())).await;
            opened = resume(Origin::Resumed).await;
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
        if let Some(problem) = at_stake(&client, &id, &opened).await {
            return Err(Error::Invalid(problem));
        }
        client.start_within(*start, left()).await.map_err(told)
    }
}

/// How long the file of a new thread may be empty.
const SETTLED: Duration = Duration::from_millis(500);

fn is_missing(opened: &Result<Thread, Error>) -> bool {
    is(opened, &RpcErrorKind::ThreadMissing) || is(opened, &RpcErrorKind::NoTurnsYet)
}

/// The file of the thread, where the server says that it is empty. It says so, too, of one whose first line is damaged.
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
        // It is not there if the server is on another machine; then its word has to do.
        let beginning = beginning(file.to_owned());
        if !beginning.await.trim_ascii().is_empty() {
            let file = file.display();
            return Some(format!(
                "thread {id} can't be resumed and no new one was started in its place: the server can't read {file}, but it is not empty"
            ));
        }
    }
    // An ephemeral thread has no file, but perhaps a history: the server does not tell.
    let alive = client.thread(id).read().await.ok()?;
    alive.ephemeral.then(|| {
        format!(
            "thread {id} is ephemeral and lives in this server; a new one would leave its history behind: use `client.thread(id)`"
        )
    })
}

/// The first bytes of a file; none of one that can't be read here.
async fn beginning(file: PathBuf) -> Vec<u8> {
    let read = move || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(file)?.take(64 * 1024);
        BufReader::new(file).read_to_end(&mut bytes)?;
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

    // Compiled for those who call it: the writers of all that a thread can be resumed with hang on it.
    #[inline]
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn object(method: &str, params: &impl Serialize) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(params) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Map::new()),
        Err(e) => Err(Error::encode(method, &e)),
    }
}

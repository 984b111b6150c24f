//! Commands that run in the server's sandbox, without an agent.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, IntoFuture},
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    client::{connection_task::AbortOnDrop, handle::CasClient},
    error::{CloseReason, Error},
    events::Events,
    events::Filter,
    protocol::{
        Call, CommandExecOutputDeltaNotification, CommandExecOutputStream, CommandExecParams,
        CommandExecResizeParams, CommandExecResponse, CommandExecTerminalSize,
        CommandExecTerminateParams, CommandExecWriteParams, SandboxPolicy,
    },
};

/// The exit code of a command that timed out.
const TIMED_OUT: i32 = 124;
/// How long the server may take to know a command that has just started.
const BEGINS: Duration = Duration::from_secs(2);

impl CasClient {
    /// `command/exec`: runs a program with its arguments where the server runs, in its sandbox.
    /// Awaiting the returned value runs the program to its end; [`spawn`](Exec::spawn) streams its
    /// output. No shell is involved.
    ///
    /// The environment is the server's, with `CODEX_HOME`.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// let done = client.exec(["git", "status", "--short"]).cwd("/repo").await?;
    /// println!("{}: {}", done.exit_code, done.stdout);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request). A command that fails is not an error. Neither is
    /// a program that does not exist: the sandbox then exits with 101 and says why in `stderr`.
    pub fn exec<S: Into<String>>(&self, command: impl IntoIterator<Item = S>) -> Exec {
        let command: Vec<String> = command.into_iter().map(Into::into).collect();
        Exec {
            client: self.clone(),
            params: CommandExecParams::new(command),
        }
    }
}

/// A command to run; see [`CasClient::exec`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs until this is awaited or spawned"]
pub struct Exec {
    client: CasClient,
    params: CommandExecParams,
}

/// The exit code and the output of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecOutput {
    /// The exit code; 124 if the command timed out, 137 if it was terminated.
    pub exit_code: i32,
    /// The standard output; bytes that are not UTF-8 are replaced. Empty for a process that was
    /// [spawned](Exec::spawn).
    pub stdout: String,
    /// The standard error, in the same way.
    pub stderr: String,
}

impl ExecOutput {
    /// Whether the command exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit_code == 0
    }

    /// Whether the command timed out: its exit code is 124.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.exit_code == TIMED_OUT
    }
}

impl Exec {
    /// Sets the working directory. Default: the server's.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.params.cwd = Some(dir.as_ref().display().to_string());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let env = self.params.env.get_or_insert_default();
        env.insert(name.into(), Some(value.into()));
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: impl Into<String>) -> Self {
        self.params
            .env
            .get_or_insert_default()
            .insert(name.into(), None);
        self
    }

    /// Sets how long the command may run. A command that runs longer is ended and exits with 124.
    /// Default: 10 s, the server's.
    pub fn timeout(mut self, after: Duration) -> Self {
        self.params.timeout_ms = Some(i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
        self.params.disable_timeout = None;
        self
    }

    /// Lets the command run without a time limit.
    pub fn no_timeout(mut self) -> Self {
        self.params.timeout_ms = None;
        self.params.disable_timeout = Some(true);
        self
    }

    /// Sets how many bytes of each output are kept; the server drops the rest silently. Default: 1
    /// MiB, the server's.
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.params.output_bytes_cap = Some(bytes);
        self
    }

    /// Sets what the command may touch. Default: what the configuration says.
    pub fn sandbox_policy(mut self, policy: SandboxPolicy) -> Self {
        self.params.sandbox_policy = Some(policy);
        self
    }

    /// Runs the command in a terminal of this size, in characters. Needs [`spawn`](Self::spawn).
    pub fn tty(mut self, cols: u16, rows: u16) -> Self {
        self.params.tty = Some(true);
        self.params.size = Some(CommandExecTerminalSize::new(cols, rows));
        self
    }

    /// Starts the command, to stream its output and to write its input.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::host::ExecEvent;
    /// let mut process = client.exec(["cat"]).no_timeout().spawn();
    /// process.write(b"hello\n").await?;
    /// process.close_stdin().await?;
    /// while let Some(event) = process.next().await {
    ///     match event? {
    ///         ExecEvent::Stdout(bytes) => print!("{}", String::from_utf8_lossy(&bytes)),
    ///         ExecEvent::Exited(done) => println!("exited with {}", done.exit_code),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn spawn(self) -> ExecProcess {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("cas-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let Self { client, params } = self;
        // NB. Subscribe before the request is sent.
        let events = client.events(Filter::all().method("command/exec/outputDelta"));
        let params = params
            .process_id(id.as_str())
            .stream_stdin(true)
            .stream_stdout_stderr(true);
        let request = client.request(params).no_timeout();
        let done = tokio::spawn(request.into_future());
        ExecProcess {
            client,
            id,
            events,
            done: AbortOnDrop(done),
            told: VecDeque::new(),
            exited: None,
            ended: false,
        }
    }
}

impl IntoFuture for Exec {
    type Output = Result<ExecOutput, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        // The server enforces the time limit.
        let request = self.client.request(self.params).no_timeout();
        Box::pin(async move { request.await.map(ExecOutput::from) })
    }
}

impl From<CommandExecResponse> for ExecOutput {
    fn from(done: CommandExecResponse) -> Self {
        Self {
            exit_code: done.exit_code,
            stdout: done.stdout,
            stderr: done.stderr,
        }
    }
}

/// An event of a running command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecEvent {
    /// A piece of the standard output. The server does not keep the order between this event and
    /// [`Stderr`](Self::Stderr).
    Stdout(Vec<u8>),
    /// A piece of the standard error.
    Stderr(Vec<u8>),
    /// Output was dropped here because the stream was read too slowly. The number counts the
    /// pieces, of all processes.
    Lagged(u64),
    /// The end of the process; no event follows.
    Exited(ExecOutput),
}

/// A running command; see [`Exec::spawn`]. Dropping it before its end ends the command.
#[must_use = "a process that is dropped is ended"]
pub struct ExecProcess {
    client: CasClient,
    id: String,
    events: Events,
    /// The request that lasts as long as the process.
    done: AbortOnDrop<Result<CommandExecResponse, Error>>,
    told: VecDeque<ExecEvent>,
    exited: Option<Result<ExecOutput, Error>>,
    ended: bool,
}

impl ExecProcess {
    /// Returns the next event, or `None` after the end. Cancel safe.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn next(&mut self) -> Option<Result<ExecEvent, Error>> {
        std::future::poll_fn(|cx| {
            loop {
                if let Some(event) = self.told.pop_front() {
                    return Poll::Ready(Some(Ok(event)));
                }
                if self.ended {
                    return Poll::Ready(None);
                }
                if self.exited.is_none()
                    && let Poll::Ready(done) = Pin::new(&mut self.done.0).poll(cx)
                {
                    let done = done.unwrap_or_else(|_| Err(Error::Closed(self.closed())));
                    self.exited = Some(done.map(ExecOutput::from));
                }
                // NB. The response comes after all of the output, so the output is read first.
                match self.events.poll_event(cx) {
                    Poll::Ready(Some(Ok(event))) => {
                        let Some(Ok(delta)) = event.get::<CommandExecOutputDeltaNotification>()
                        else {
                            continue;
                        };
                        if delta.process_id != self.id {
                            continue;
                        }
                        let bytes = STANDARD.decode(&delta.delta_base64).unwrap_or_default();
                        self.told.push_back(match delta.stream {
                            CommandExecOutputStream::Stderr => ExecEvent::Stderr(bytes),
                            _ => ExecEvent::Stdout(bytes),
                        });
                    }
                    Poll::Ready(Some(Err(Error::Lagged { skipped }))) => {
                        self.told.push_back(ExecEvent::Lagged(skipped));
                    }
                    Poll::Ready(Some(Err(error))) => {
                        self.ended = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready(None) => {
                        self.ended = true;
                        return Poll::Ready(None);
                    }
                    Poll::Pending if !tokio::task::coop::has_budget_remaining() => {
                        return Poll::Pending;
                    }
                    Poll::Pending => {
                        let Some(exited) = self.exited.take() else {
                            return Poll::Pending;
                        };
                        self.ended = true;
                        return Poll::Ready(Some(exited.map(ExecEvent::Exited)));
                    }
                }
            }
        })
        .await
    }

    /// Waits for the end, and returns all of the output that is still unread.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn wait(mut self) -> Result<ExecOutput, Error> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(event) = self.next().await {
            match event? {
                ExecEvent::Stdout(bytes) => stdout.extend(bytes),
                ExecEvent::Stderr(bytes) => stderr.extend(bytes),
                ExecEvent::Lagged(_) => {}
                ExecEvent::Exited(done) => {
                    return Ok(ExecOutput {
                        exit_code: done.exit_code,
                        stdout: String::from_utf8_lossy(&stdout).into_owned(),
                        stderr: String::from_utf8_lossy(&stderr).into_owned(),
                    });
                }
            }
        }
        Err(Error::Closed(self.client.closed().await))
    }

    /// `command/exec/write`: writes to the input of the process.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`]; [`Error::Rpc`] if the process has exited.
    pub async fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let params = CommandExecWriteParams::new(self.id.as_str());
        self.send(params.delta_base64(STANDARD.encode(bytes))).await
    }

    /// Closes the input of the process. A terminal's input can't be closed; write its end-of-file
    /// character, 4.
    ///
    /// # Errors
    /// Same errors as [`write`](Self::write).
    pub async fn close_stdin(&self) -> Result<(), Error> {
        let params = CommandExecWriteParams::new(self.id.as_str());
        self.send(params.close_stdin(true)).await
    }

    /// `command/exec/resize`: changes the size of the terminal, in characters.
    ///
    /// # Errors
    /// Same errors as [`write`](Self::write).
    pub async fn resize(&self, cols: u16, rows: u16) -> Result<(), Error> {
        let size = CommandExecTerminalSize::new(cols, rows);
        self.send(CommandExecResizeParams::new(self.id.as_str(), size))
            .await
    }

    /// `command/exec/terminate`: ends the process. Its exit is still reported.
    ///
    /// # Errors
    /// Same errors as [`write`](Self::write).
    pub async fn terminate(&self) -> Result<(), Error> {
        self.send(CommandExecTerminateParams::new(self.id.as_str()))
            .await
    }

    /// Makes a request about the process. The request is retried for a while if the server does not
    /// know the process yet.
    async fn send<C: Call + Clone>(&self, params: C) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            match self.client.request(params.clone()).urgent().await {
                Err(error)
                    if error
                        .rpc()
                        .is_some_and(|rpc| rpc.message.starts_with("no active command/exec"))
                        && !self.done.0.is_finished()
                        && begun.elapsed() < BEGINS =>
                {
                    sleep(Duration::from_millis(20)).await;
                }
                other => return other.map(drop),
            }
        }
    }

    fn closed(&self) -> Arc<CloseReason> {
        let reason = self.client.close_reason();
        reason.unwrap_or_else(|| Arc::new(CloseReason::shutdown()))
    }
}

impl Drop for ExecProcess {
    fn drop(&mut self) {
        if !self.ended && !self.done.0.is_finished() {
            let params = json!({"processId": self.id}).to_string();
            let connection = self.client.connection();
            connection.send_hooked("command/exec/terminate", &params, Box::new(|_| ()));
        }
    }
}

impl fmt::Debug for ExecProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecProcess")
            .field("id", &self.id)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

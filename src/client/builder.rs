//! How a client is made: what to start or to connect to, the limits, the handlers.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    client::{
        connection_task::{Peer, supervise},
        handle::{CasClient, Options, Parts},
        retry::Retry,
    },
    error::{CloseCause, Error, SpawnError},
    handlers::{
        Answers, Attestation, AuthRefresh, Clock, Decision, Elicitation, ElicitationAnswer,
        Fallback, Handlers, UserInput,
        dispatch::{Desk, Dispatch},
        policy::{Audit, Policy},
        tools::DynamicTool,
    },
    protocol::routing::CODEX,
    rpc::{Aside, Connection, Limits, Router, outbox::Outbox, queue::Bounds},
    transport::{
        ConnectionKind,
        stdio::{Launch, Pipes, Process, Registry, find_codex_for},
    },
};

/// Makes a [`CasClient`]; see [`CasClient::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `spawn` or `connect`"]
pub struct Builder {
    pub(crate) launch: Launch,
    client_info: [String; 3],
    experimental_api: bool,
    opt_out: Vec<String>,
    limits: Limits,
    bounds: Bounds,
    request_timeout: Duration,
    urgent_timeout: Option<Duration>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) registry: Option<PathBuf>,
    retry_start: Option<Retry>,
    desk: Desk,
}

/// What is urgent is of no use after more than this.
const URGENT: Duration = Duration::from_secs(5);

impl Default for Builder {
    fn default() -> Self {
        Self {
            launch: Launch {
                codex: None,
                args: vec!["app-server".into()],
                cwd: None,
                env_clear: false,
                env: Vec::new(),
            },
            client_info: ["cas-sdk", "cas-sdk", env!("CARGO_PKG_VERSION")].map(str::to_owned),
            experimental_api: true,
            opt_out: Vec::new(),
            limits: Limits {
                in_flight: 64,
                urgent: 16,
                line: 128 * 1024 * 1024,
                outgoing: None,
            },
            bounds: Bounds {
                events: 8_192,
                bytes: 8 * 1024 * 1024,
            },
            request_timeout: Duration::from_secs(60),
            urgent_timeout: None,
            handshake_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(2),
            registry: None,
            retry_start: None,
            desk: Desk::default(),
        }
    }
}

impl Builder {
    /// The codex executable, a path or a name on `$PATH`. Default: `$CAS_CODEX`, else `codex` on `$PATH`.
    pub fn codex(mut self, program: impl Into<PathBuf>) -> Self {
        self.launch.codex = Some(program.into());
        self
    }

    /// Adds an argument after `app-server`.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.launch.args.push(arg.into());
        self
    }

    /// Overrides a value of `config.toml`, as `-c key=value` does; the value is TOML.
    ///
    /// Every user of the machine can read it: it stands in the server's command line. Give a secret by [`env`](Self::env)
    /// and name the variable here, which codex has keys for: `model_providers.ID.env_key`,
    /// `mcp_servers.ID.bearer_token_env_var`, `mcp_servers.ID.env_vars`.
    ///
    /// ```
    /// # let key = String::new();
    /// let builder = cas_sdk::CasClient::builder()
    ///     .config("model_providers.mine.env_key", "\"MY_KEY\"")
    ///     .env("MY_KEY", key);
    /// ```
    pub fn config(self, key: &str, value: &str) -> Self {
        self.arg("-c").arg(format!("{key}={value}"))
    }

    /// The working directory of the server, and of threads that name none. Default: that of this process.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.launch.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Sets an environment variable of the server. Only its user and root can read it, but what the server starts has it
    /// too: the commands of the agent as far as codex's `shell_environment_policy` lets them, and MCP servers.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.launch.env.push((name.into(), Some(value.into())));
        self
    }

    /// Sets several environment variables of the server.
    pub fn envs<K: Into<OsString>, V: Into<OsString>>(
        self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        vars.into_iter()
            .fold(self, |this, (name, value)| this.env(name, value))
    }

    /// Removes an environment variable of the server.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.launch.env.push((name.into(), None));
        self
    }

    /// Starts the server without the environment of this process, only with what is set here. By default the server
    /// inherits all of it, tokens of this program's own included, and passes it on to what it starts.
    pub fn env_clear(mut self) -> Self {
        self.launch.env_clear = true;
        self
    }

    /// Who is calling: `clientInfo` of `initialize`. The name must be a legal HTTP header value. Default: `cas-sdk`.
    pub fn client_info(
        mut self,
        name: impl Into<String>,
        title: impl Into<String>,
        version: impl Into<String>,
    ) -> Self {
        self.client_info = [name.into(), title.into(), version.into()];
        self
    }

    /// Whether to negotiate `experimentalApi`, which 79 of the 189 methods need, and dynamic tools. Default: true.
    ///
    /// With `false`, calling an experimental method is an error before anything is sent.
    pub fn experimental_api(mut self, on: bool) -> Self {
        self.experimental_api = on;
        self
    }

    /// Notifications that the server should not send on this connection, by their exact method: a
    /// [`NotificationMethod`](crate::protocol::NotificationMethod), or a string for one that the schema doesn't have.
    ///
    /// ```
    /// use cas_sdk::{CasClient, protocol::NotificationMethod as Method};
    /// let builder = CasClient::builder()
    ///     .opt_out_notification_methods([Method::ItemReasoningTextDelta, Method::TurnDiffUpdated]);
    /// ```
    pub fn opt_out_notification_methods<S: Into<String>>(
        mut self,
        methods: impl IntoIterator<Item = S>,
    ) -> Self {
        for method in methods {
            let method = method.into();
            if !self.opt_out.contains(&method) {
                self.opt_out.push(method);
            }
        }
        self
    }

    /// Registers a tool that the model may call: a [`Tool`](crate::Tool), or a [`DynamicTool`] made of a closure or with
    /// limits of its own. Threads that are started advertise it.
    pub fn tool(self, tool: impl Into<DynamicTool>) -> Self {
        self.handlers(|h| h.tool(tool))
    }

    /// Says what a namespace of tools is about, in at most 1,024 characters; the model is told. Default: the names of
    /// its tools.
    pub fn tool_namespace(self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.handlers(|h| h.tool_namespace(name, description))
    }

    /// Decides about commands, changes of files, permissions, skills and the tools of MCP servers: a [`Policy`], or an
    /// [`Approvals`](crate::Approvals) handler. Default: everything is declined.
    pub fn approvals(self, policy: impl Into<Policy>) -> Self {
        self.handlers(|h| h.approvals(policy))
    }

    /// How long the [`Approvals`](crate::Approvals) handler may take, and what is decided then. Default: no limit, since
    /// people answer slowly; the server waits for ever.
    pub fn approval_limit(self, after: Duration, outcome: Decision) -> Self {
        self.handlers(|h| h.approval_limit(after, outcome))
    }

    /// Answers the questions of the model to the user. Default: no answers.
    pub fn user_input(self, handler: impl UserInput) -> Self {
        self.handlers(|h| h.user_input(handler))
    }

    /// How long the [`UserInput`] handler may take, and what is answered then. Default: no limit for questions that block the
    /// model; 60 s and no answers for those that need not.
    pub fn user_input_limit(self, after: Duration, outcome: Answers) -> Self {
        self.handlers(|h| h.user_input_limit(after, outcome))
    }

    /// Answers the elicitations of MCP servers. Default: they are declined.
    pub fn elicitation(self, handler: impl Elicitation) -> Self {
        self.handlers(|h| h.elicitation(handler))
    }

    /// How long the [`Elicitation`] handler may take, and what is answered then. Default: no limit.
    pub fn elicitation_limit(self, after: Duration, outcome: ElicitationAnswer) -> Self {
        self.handlers(|h| h.elicitation_limit(after, outcome))
    }

    /// Tells the server the time, where it is configured to ask. Codex 0.171 and later never asks; the crate warns of that
    /// once. Default: the time of this machine.
    pub fn clock(self, handler: impl Clock) -> Self {
        self.handlers(|h| h.clock(handler))
    }

    /// Answers what nothing else claims. Default: it is refused.
    pub fn fallback(self, handler: impl Fallback) -> Self {
        self.handlers(|h| h.fallback(handler))
    }

    /// Refreshes the ChatGPT tokens that this program has logged in with. Default: an error, which fails the turn.
    pub fn auth_refresh(mut self, handler: impl AuthRefresh) -> Self {
        self.desk.auth_refresh = Some(crate::handlers::erase(handler));
        self
    }

    /// Vouches for this client; the capability `requestAttestation` is announced. Default: the server doesn't ask.
    pub fn attestation(mut self, handler: impl Attestation) -> Self {
        self.desk.attestation = Some(crate::handlers::erase(handler));
        self
    }

    /// Called with every decision about an approval or an elicitation, before it is sent: one after the other, on a thread
    /// where it may block. The answer waits for it, nothing else does.
    ///
    /// `tracing` is told, too: target `cas_sdk::audit`, level info, and never the params.
    pub fn audit(mut self, audit: impl Fn(&Audit) + Send + Sync + 'static) -> Self {
        self.desk.audit = Some(Arc::new(audit));
        self
    }

    fn handlers(mut self, set: impl FnOnce(Handlers) -> Handlers) -> Self {
        self.desk.handlers = set(self.desk.handlers);
        self
    }

    /// The deadline of a request that sets none. Default: 60 s.
    pub fn request_timeout(mut self, after: Duration) -> Self {
        self.request_timeout = after;
        self
    }

    /// The deadline of an [urgent](crate::Request::urgent) request that sets none: of steering and interrupting, and of
    /// asking how a silent turn stands. Default: 5 s, or the [`request_timeout`](Self::request_timeout) if that is shorter.
    pub fn urgent_timeout(mut self, after: Duration) -> Self {
        self.urgent_timeout = Some(after);
        self
    }

    /// How long the server may take until it has answered `initialize`. Default: 10 s.
    pub fn handshake_timeout(mut self, after: Duration) -> Self {
        self.handshake_timeout = after;
        self
    }

    /// How long each step of stopping the server may take: the end of its input, SIGTERM, SIGKILL. Default: 2 s.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Keeps a record of the running server in this directory, one file each, and first ends the servers that other
    /// hosts have left there which were killed and could not: for a program that is started again after a crash. It is
    /// made if it is not there, with mode 0700, and may be shared by any number of programs of one user. A link, or a
    /// directory that another user owns or may write to, is refused, since what stands there ends processes. Default:
    /// none. Linux only.
    ///
    /// A killed host rarely leaves anything, since a server ends at the end of its input; this is for one that hangs, and
    /// for what it has started. The record names the processes by number and start time, and one that does not have both
    /// is not touched. Files that are not such records are left alone.
    pub fn registry(mut self, dir: impl Into<PathBuf>) -> Self {
        self.registry = Some(dir.into());
        self
    }

    /// Requests in flight at once; the others wait. Default: 64. Beside them there are 16 places for urgent requests and 64
    /// for [long](crate::Request::no_timeout) ones. The server drops requests without an answer above about 160.
    ///
    /// What counts is what the server holds: a request that is dropped or times out keeps its place until it is answered,
    /// or for some seconds if the server answers later ones.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.limits.in_flight = requests;
        self
    }

    /// The longest line that is read, in bytes; a longer one is skipped and reported as a malformed event.
    /// Default: 128 MiB.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.limits.line = bytes.min(u32::MAX as usize - 1);
        self
    }

    /// The size of each of the two rings of an event stream. Default: 8,192 events and 8 MiB.
    pub fn event_queue(mut self, events: usize, bytes: usize) -> Self {
        self.bounds = Bounds { events, bytes };
        self
    }

    /// Makes a start again that was too slow, or that lost its home to another start: where the failure
    /// [is retryable](Error::is_retryable), and nothing of it is left running. Default: that is an error.
    ///
    /// Many servers that are started at once in one home need it: codex gives up after 5 s where another one holds its
    /// databases or is migrating them.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::{CasClient, Retry};
    /// let client = CasClient::builder().retry_start(Retry::times(3)).spawn().await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    pub fn retry_start(mut self, policy: Retry) -> Self {
        self.retry_start = Some(policy);
        self
    }

    /// Starts `codex app-server` and does the handshake. Dropped midway it leaves no process.
    ///
    /// The server gets a process group of its own, and a variable `CAS_SDK_CHILD` in its environment by which on Linux
    /// what it starts is found again. All of that is ended with the server, what an agent has put into the background
    /// included. A process is found by its group, its parents or that variable; one that has left the group, whose
    /// parents have ended, and that was started without the variable (`env -i`) is not.
    ///
    /// # Errors
    /// [`Error::Spawn`] if codex can't be found or started or ends at once, [`Error::Handshake`] if it doesn't answer
    /// as it should, [`Error::Invalid`] for a tool that the server would refuse.
    pub async fn spawn(self) -> Result<CasClient, Error> {
        let mut pauses = self.retry_start.map(|policy| policy.pauses());
        loop {
            let error = match Box::pin(self.clone().spawn_once()).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let pause = match &mut pauses {
                Some(pauses) if error.is_retryable() => pauses.next(),
                _ => None,
            };
            let Some(pause) = pause else {
                return Err(error);
            };
            tracing::warn!(target: "cas_sdk", %error, ?pause, "the server is started again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn spawn_once(self) -> Result<CasClient, Error> {
        self.desk.handlers.tools.check()?;
        let childs_path = self.launch.path();
        let program = find_codex_for(self.launch.codex.as_deref(), childs_path.as_deref())?;
        let registry = match &self.registry {
            Some(dir) => Some(Registry::open(dir, self.grace).await?),
            None => None,
        };
        let (mut process, pipes) = Process::spawn(&program, &self.launch)?;
        let Pipes {
            stdin,
            stdout,
            stderr,
        } = pipes;
        if let Some(registry) = &registry {
            process.register(registry)?;
        }
        let pid = process.id();
        let peer = Peer::Process(Box::new(process), stderr);
        self.start(stdout, stdin, peer, pid, ConnectionKind::Spawned)
            .await
            .map_err(|error| match error {
                Error::Closed(reason)
                    if matches!(
                        reason.cause,
                        CloseCause::Exited | CloseCause::Eof | CloseCause::Write(_)
                    ) =>
                {
                    SpawnError::Exited { program, reason }.into()
                }
                other => Error::Handshake(Arc::new(other)),
            })
    }

    /// Speaks to a server over a pair of pipes that somebody else looks after, and does the handshake.
    ///
    /// # Errors
    /// [`Error::Handshake`] if the other side doesn't answer as it should, [`Error::Invalid`] for a tool that the
    /// server would refuse.
    pub async fn connect(
        self,
        output_of_server: impl AsyncRead + Unpin + Send + 'static,
        input_of_server: impl AsyncWrite + Send + 'static,
    ) -> Result<CasClient, Error> {
        self.desk.handlers.tools.check()?;
        let kind = ConnectionKind::Streams;
        let (output, input) = (output_of_server, input_of_server);
        self.start(output, input, Peer::Foreign, None, kind)
            .await
            .map_err(|error| Error::Handshake(Arc::new(error)))
    }

    /// Fails early for a tool that the server would refuse.
    #[cfg(feature = "ws")]
    pub(crate) fn check_tools(&self) -> Result<(), Error> {
        self.desk.handlers.tools.check()
    }

    /// The `CODEX_HOME` among the server's own environment variables.
    #[cfg(feature = "ws")]
    pub(crate) fn codex_home(&self) -> Option<PathBuf> {
        let mut set = self.launch.env.iter().rev();
        let (_, value) = set.find(|(name, _)| name == "CODEX_HOME")?;
        value.clone().map(PathBuf::from)
    }

    /// Makes a client of two streams of JSON lines, and does the handshake: what is the same for all kinds of servers.
    pub(crate) async fn start(
        mut self,
        output: impl AsyncRead + Unpin + Send + 'static,
        input: impl AsyncWrite + Send + 'static,
        peer: Peer,
        pid: Option<u32>,
        kind: ConnectionKind,
    ) -> Result<CasClient, Error> {
        self.limits.outgoing = kind.max_outgoing();
        let params = self.initialize_params();
        let aside = Aside::new();
        let joined = matches!(kind, ConnectionKind::Joined { .. });
        let dispatch = Dispatch::new(self.desk, aside.clone(), joined);
        let router = Arc::new(Router::new(&CODEX, dispatch.clone(), aside));
        let connection = Arc::new(Connection::new(
            router,
            Outbox::new(Box::pin(input)),
            self.limits,
        ));
        dispatch.attach(&connection);
        let supervised = supervise(&connection, output, self.limits.line, peer, self.grace);
        let client = CasClient::new(Parts {
            connection,
            dispatch,
            supervised,
            pid,
            options: Options {
                experimental_api: self.experimental_api,
                request_timeout: self.request_timeout,
                urgent_timeout: self
                    .urgent_timeout
                    .unwrap_or_else(|| self.request_timeout.min(URGENT)),
                bounds: self.bounds,
                kind,
            },
        });
        match client.handshake(&params, self.handshake_timeout).await {
            Ok(()) => {
                client.warn_of_gone(client.handlers());
                Ok(client)
            }
            Err(error) => {
                client.shutdown().await;
                Err(error)
            }
        }
    }

    fn initialize_params(&self) -> Value {
        let [name, title, version] = &self.client_info;
        let mut capabilities = Map::new();
        capabilities.insert("experimentalApi".into(), self.experimental_api.into());
        if !self.opt_out.is_empty() {
            let methods = self.opt_out.clone().into();
            capabilities.insert("optOutNotificationMethods".into(), methods);
        }
        if self.desk.attestation.is_some() {
            capabilities.insert("requestAttestation".into(), true.into());
        }
        if self.desk.handlers.openai_forms {
            capabilities.insert("mcpServerOpenaiFormElicitation".into(), true.into());
        }
        json!({"clientInfo": {"name": name, "title": title, "version": version}, "capabilities": capabilities})
    }
}

impl fmt::Debug for Builder {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("launch", &self.launch)
            .field("experimental_api", &self.experimental_api)
            .field("handlers", &self.desk.handlers)
            .finish_non_exhaustive()
    }
}

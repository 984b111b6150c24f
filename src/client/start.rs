//! From a builder to a client: starts or reaches the server and does the handshake.

use std::{sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    client::{
        builder::Builder,
        connection_task::{Peer, supervise},
        handle::{CasClient, Options, Parts},
        role::Role,
        tracker::Tracker,
    },
    error::{CloseCause, Error, SpawnError},
    handlers::dispatch::Dispatch,
    protocol::{ClientInfo, InitializeCapabilities, InitializeParams, routing::CODEX},
    rpc::{Aside, Connection, Router, outbox::Outbox, window::Window},
    transport::{
        ConnectionKind,
        stdio::{Pipes, Process, Registry, find_codex_for},
    },
};

/// The longest default deadline of urgent requests.
const URGENT: Duration = Duration::from_secs(5);

impl CasClient {
    /// Configures a client: what to start, and how.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// let client = cas_sdk::CasClient::builder().cwd("/repo").spawn().await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Starts `codex app-server` and does the handshake. Dropping the future midway leaves no
    /// process behind.
    ///
    /// The server gets a process group of its own, and a variable `CAS_SDK_CHILD` in its environment
    /// by which its descendants are found on Linux and macOS. On Windows it gets a job, and no
    /// window. All descendants end with the server, including those that an agent has
    /// put into the background. A process is found by its group, its parents or that variable. A
    /// process that has left the group, whose parents have ended, and that was started without the
    /// variable (`env -i`) is not found.
    ///
    /// # Errors
    /// [`Error::Spawn`] if codex can't be found or started or exits at once, [`Error::Handshake`]
    /// if the server doesn't answer as it should, [`Error::Invalid`] for a tool that the server
    /// would refuse.
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
        self.handlers.tools.check()?;
        if let Some(role @ (Role::Observer | Role::Driver)) = self.role {
            let text = format!(
                "nobody else could answer the requests of a server from `spawn`: its client can't be {role:?}"
            );
            return Err(Error::Invalid(text));
        }
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

    /// Connects to a server over a pair of pipes that somebody else manages, and does the
    /// handshake.
    ///
    /// # Errors
    /// [`Error::Handshake`] if the other side doesn't answer as it should, [`Error::Invalid`] for a
    /// tool that the server would refuse.
    pub async fn connect(
        self,
        output_of_server: impl AsyncRead + Unpin + Send + 'static,
        input_of_server: impl AsyncWrite + Send + 'static,
    ) -> Result<CasClient, Error> {
        self.handlers.tools.check()?;
        let kind = ConnectionKind::Streams;
        let (output, input) = (output_of_server, input_of_server);
        self.start(output, input, Peer::Foreign, None, kind)
            .await
            .map_err(|error| Error::Handshake(Arc::new(error)))
    }

    /// The `CODEX_HOME` among the server's own environment variables.
    #[cfg(feature = "ws")]
    pub(crate) fn codex_home(&self) -> Option<std::path::PathBuf> {
        let mut set = self.launch.env.iter().rev();
        let (_, value) = set.find(|(name, _)| name == "CODEX_HOME")?;
        value.clone().map(std::path::PathBuf::from)
    }

    /// Makes a client from two streams of JSON lines, and does the handshake: the part that all
    /// kinds of servers share.
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
        let role = self.role.unwrap_or(match kind {
            ConnectionKind::Joined { .. } => Role::Observer,
            ConnectionKind::Spawned | ConnectionKind::Served { .. } | ConnectionKind::Streams => {
                Role::Owner
            }
        });
        let tracker = Tracker::new(aside.clone());
        let dispatch = Dispatch::new(self.handlers, tracker.clone(), aside.clone(), role);
        let window = Window::new(self.limits.in_flight, self.limits.urgent);
        let router = Arc::new(Router::new(&CODEX, dispatch.clone(), aside, window));
        let connection = Arc::new(Connection::new(
            router,
            Outbox::new(Box::pin(input)),
            self.limits,
        ));
        tracker.attach(&connection);
        dispatch.attach_connection(&connection);
        let supervised = supervise(&connection, output, self.limits.line, peer, self.grace);
        let client = CasClient::new(Parts {
            connection,
            tracker,
            answering: dispatch,
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
                role,
            },
        });
        match client.handshake(&params, self.handshake_timeout).await {
            Ok(()) => {
                client.warn_of_uncalled_handlers(&client.handlers());
                Ok(client)
            }
            Err(error) => {
                client.shutdown().await;
                Err(error)
            }
        }
    }

    fn initialize_params(&self) -> InitializeParams {
        let [name, title, version] = self.client_info.clone();
        let mut capabilities = InitializeCapabilities::default()
            .experimental_api(self.experimental_api)
            .request_attestation(self.handlers.attestation.is_some());
        if !self.opt_out.is_empty() {
            capabilities = capabilities.opt_out_notification_methods(self.opt_out.clone());
        }
        if self.handlers.openai_forms {
            capabilities = capabilities.mcp_server_openai_form_elicitation(true);
        }
        InitializeParams::new(ClientInfo::new(name, version).title(title))
            .capabilities(capabilities)
    }
}

//! `Builder`: what to start, in which environment, and who answers the server's requests.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    client::{Role, retry::Retry},
    handlers::{Handlers, policy::Policy, tools::DynamicTool},
    rpc::{Limits, queue::Bounds},
    transport::stdio::Launch,
};

/// Starts a server, or connects to one; see [`CasClient::builder`](crate::CasClient::builder).
#[derive(Clone)]
#[must_use = "a builder does nothing until `spawn` or `connect`"]
pub struct Builder {
    pub(crate) launch: Launch,
    pub(super) client_info: [String; 3],
    pub(super) experimental_api: bool,
    pub(super) opt_out: Vec<String>,
    pub(super) limits: Limits,
    pub(super) bounds: Bounds,
    pub(super) request_timeout: Duration,
    pub(super) urgent_timeout: Option<Duration>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) registry: Option<PathBuf>,
    pub(super) retry_start: Option<Retry>,
    pub(super) role: Option<Role>,
    pub(super) handlers: Handlers,
}

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
            role: None,
            handlers: Handlers::default(),
        }
    }
}

impl Builder {
    /// Sets the codex executable, a path or a name on `$PATH`. Default: `$CAS_CODEX`, else `codex`
    /// on `$PATH`.
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
    /// Every user of the machine can read the value, because it is part of the server's command
    /// line. Pass a secret through [`env`](Self::env) and name the variable here, in one of the
    /// keys that codex has for this purpose: `model_providers.ID.env_key`,
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

    /// Sets the working directory of the server, and of threads that name none. Default: that of
    /// this process.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.launch.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Sets an environment variable of the server. Only the server's user and root can read the
    /// value, but what the server starts inherits it: the agent's commands as far as codex's
    /// `shell_environment_policy` lets them, and MCP servers.
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

    /// Starts the server without the environment of this process, with only the variables that are
    /// set here. By default the server inherits the whole environment, including this program's own
    /// tokens, and passes it on to what it starts.
    pub fn env_clear(mut self) -> Self {
        self.launch.env_clear = true;
        self
    }

    /// Sets `clientInfo` of `initialize`, which says who is calling. The name must be a legal HTTP
    /// header value. Default: `cas-sdk`.
    pub fn client_info(
        mut self,
        name: impl Into<String>,
        title: impl Into<String>,
        version: impl Into<String>,
    ) -> Self {
        self.client_info = [name.into(), title.into(), version.into()];
        self
    }

    /// Sets whether to negotiate `experimentalApi`, which 79 of the 189 methods and dynamic tools
    /// need. Default: true.
    ///
    /// With `false`, calling an experimental method is an error before anything is sent.
    pub fn experimental_api(mut self, on: bool) -> Self {
        self.experimental_api = on;
        self
    }

    /// Names notifications that the server should not send on this connection, by their exact
    /// method: a [`NotificationMethod`](crate::protocol::NotificationMethod), or a string for a
    /// method that the schema doesn't have.
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

    /// Sets the client's role towards the threads that others have started on the same server.
    /// Default: [`Role::Observer`] for a server that it joins with `connect_to`, otherwise
    /// [`Role::Owner`]. A server from [`spawn`](Self::spawn) has no other clients, so its client
    /// must be the owner.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::{CasClient, client::Role};
    /// # #[cfg(feature = "ws")]
    /// let client = CasClient::builder().role(Role::Driver).connect_to("unix://").await?;
    /// # Ok(()) }
    /// ```
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Adds handlers for the server's requests. Calling this again adds to the earlier handlers: a
    /// handler replaces an earlier one of its kind, and a tool replaces an earlier one with its
    /// name. Default: [every request has an answer](Handlers#answers) that refuses.
    ///
    /// ```
    /// use cas_sdk::{CasClient, Handlers, handlers::Answers, protocol::ToolRequestUserInputParams};
    /// let handlers = Handlers::new()
    ///     .user_input(|_: ToolRequestUserInputParams, _cx| async { Ok(Answers::new()) });
    /// let builder = CasClient::builder().handlers(handlers);
    /// ```
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.handlers = handlers.over(&self.handlers);
        self
    }

    /// Registers a tool that the model may call: a [`Tool`](crate::Tool), or a [`DynamicTool`] made
    /// from a closure or with its own limits. Started threads advertise the tool. The same as
    /// [`Handlers::tool`].
    pub fn tool(mut self, tool: impl Into<DynamicTool>) -> Self {
        self.handlers = self.handlers.tool(tool);
        self
    }

    /// Registers several tools. The same as [`Handlers::tools`].
    pub fn tools<T: Into<DynamicTool>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.handlers = self.handlers.tools(tools);
        self
    }

    /// Decides about commands, file changes, permissions, skills and the tools of MCP servers: a
    /// [`Policy`], or an [`Approvals`](crate::handlers::Approvals) handler. Default: everything is
    /// declined. The same as [`Handlers::approvals`].
    pub fn approvals(mut self, policy: impl Into<Policy>) -> Self {
        self.handlers = self.handlers.approvals(policy);
        self
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("launch", &self.launch)
            .field("experimental_api", &self.experimental_api)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}

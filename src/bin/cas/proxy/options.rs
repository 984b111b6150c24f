//! The options of a proxy: the flags of `cas proxy` as a value.

use std::{path::PathBuf, time::Duration};

use cas_sdk::live::Endpoint;

/// The options of an instance. [`Default`] has the documented default of every field.
#[derive(Clone)]
pub(crate) struct Options {
    /// The codex executable, a path or a name on `$PATH`; started as `PATH app-server`. Default:
    /// `$CAS_CODEX`, else `codex`.
    pub(crate) codex: Option<PathBuf>,
    /// The server to join instead of starting one. Other clients get its requests too, so they are
    /// passed on without a time limit, and only the orchestrator answers them. Default: none.
    pub(crate) connect: Option<Endpoint>,
    /// The working directory of the app-server. Default: that of this process.
    pub(crate) cwd: Option<PathBuf>,
    /// Environment variables for the app-server in addition to those of this process.
    pub(crate) env: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    /// The directory that records the running app-server, so that the next start with the same
    /// directory ends what a killed instance has left running. On Linux and macOS; elsewhere it is
    /// ignored. Default: none.
    pub(crate) registry: Option<PathBuf>,
    /// Where the last thread id is kept; a relative path is below `cwd`. Default:
    /// `~/.codex/cas/state/<hash>.json`, the hash being the first 16 hex digits of the SHA-256 of
    /// the absolute `cwd`.
    pub(crate) state_file: Option<PathBuf>,
    /// `clientInfo.name` of `initialize`. Default: `cas`.
    pub(crate) client_name: String,
    /// `clientInfo.title` of `initialize`. Default: `cas skill`.
    pub(crate) client_title: String,
    /// `clientInfo.version` of `initialize`. Default: `0.1.0`.
    pub(crate) client_version: String,
    /// How often to emit a `cas/stats` of kind `heartbeat`. Default: never.
    pub(crate) heartbeat: Option<Duration>,
    /// How many events may wait to be written before reading pauses. Default: 20,000. The queue is
    /// also limited to about 256 KiB, however few events that is. 1 counts as 2. With 0 reading
    /// never pauses, and the queue is unbounded.
    pub(crate) max_out_queue: usize,
    /// The time from SIGTERM to SIGKILL when the instance ends; zero kills at once. Default: 2 s.
    pub(crate) kill_timeout: Duration,
    /// How long the app-server may take to answer a request of the orchestrator once it is sent;
    /// `None` waits for ever. After that, a `cas/error` is emitted, and a later answer is marked as
    /// late. The time while reading is paused does not count. Requests that are answered only when
    /// their work is done, such as `command/exec`, have no limit. Default: 60 s.
    pub(crate) request_timeout: Option<Duration>,
    /// How long the orchestrator may take to answer a forwarded server request; `None` waits for
    /// ever. Default: 30 s.
    pub(crate) server_request_timeout: Option<Duration>,
    /// How long the app-server may take to answer `initialize`. Default: 10 s.
    pub(crate) handshake_timeout: Duration,
    /// How approval requests are answered.
    pub(crate) approvals: ApprovalPolicy,
    /// Notifications that the server should not send, by their exact method.
    pub(crate) opt_out_notification_methods: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            codex: None,
            connect: None,
            cwd: None,
            env: Vec::new(),
            registry: None,
            state_file: None,
            client_name: "cas".to_owned(),
            client_title: "cas skill".to_owned(),
            client_version: "0.1.0".to_owned(),
            heartbeat: None,
            max_out_queue: 20_000,
            kill_timeout: Duration::from_secs(2),
            request_timeout: Some(Duration::from_secs(60)),
            server_request_timeout: Some(Duration::from_secs(30)),
            handshake_timeout: Duration::from_secs(10),
            approvals: ApprovalPolicy::default(),
            opt_out_notification_methods: Vec::new(),
        }
    }
}

impl Options {
    /// The same options with durations that can be added to any instant: a hundred years at most.
    pub(super) fn bounded(mut self) -> Self {
        const MOST: Duration = Duration::from_secs(100 * 365 * 86_400);
        for time in [&mut self.kill_timeout, &mut self.handshake_timeout] {
            *time = MOST.min(*time);
        }
        for time in [
            &mut self.heartbeat,
            &mut self.request_timeout,
            &mut self.server_request_timeout,
        ] {
            *time = time.map(|time| MOST.min(time));
        }
        self
    }
}

/// How the proxy itself answers approval requests. The default is `Auto` for each: everything is
/// approved, and permanently if codex proposes that. `exec: Decision::AcceptForSession` ends with
/// the session.
///
/// If the server lists the decisions that it accepts, the answer is one of them and never more
/// permissive than this policy. A request that the server reserves for a person, or that can't be
/// read, is passed on and never accepted here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ApprovalPolicy {
    /// `item/commandExecution/requestApproval`.
    pub(crate) exec: Decision,
    /// `item/fileChange/requestApproval`.
    pub(crate) file: Decision,
    /// `skill/requestApproval`.
    pub(crate) skill: SkillDecision,
}

impl ApprovalPolicy {
    /// Declines everything: `--read-only`.
    pub(crate) const READ_ONLY: Self = Self {
        exec: Decision::Decline,
        file: Decision::Decline,
        skill: SkillDecision::Decline,
    };
}

/// The answer to a command's or a file change's approval request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum Decision {
    /// Accept, with the proposed execpolicy amendment if there is one, else for the session. Codex
    /// writes an amendment into its rules, where it applies to every later process.
    #[default]
    Auto,
    /// Accept once.
    Accept,
    /// Accept this request and similar ones until the session ends.
    AcceptForSession,
    /// Decline; the turn goes on.
    Decline,
    /// Decline, and interrupt the turn.
    Cancel,
}

/// The answer to a skill's approval request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum SkillDecision {
    /// Approve.
    #[default]
    Auto,
    /// The same as `Auto`.
    Approve,
    /// Decline.
    Decline,
}

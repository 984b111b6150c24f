//! `cas proxy`: the flags, and the standard streams around `crate::proxy`.

use std::{path::PathBuf, time::Duration};

use tokio::sync::mpsc;

use crate::{
    connect::Connect,
    output::{Result, complain},
    proxy::{self, ApprovalPolicy, Decision, Notice, Options, SkillDecision},
    signals::{Caught, Signals},
    stdio,
};

/// Carry JSON lines between an orchestrator and one `codex app-server`.
///
/// Starts the app-server, does the handshake, then reads commands from standard input (cas/request,
/// cas/respond, cas/send, cas/state/get, cas/stats/get, cas/exit) and writes events to standard
/// output (cas/ready, cas/fromServer, cas/serverRequest and others), one JSON object per line.
/// Approvals are answered by policy; all other server requests are passed on. The end of standard
/// input ends the instance, once all requests are answered and all running turns have ended.
///
/// With --connect, the proxy joins a running server and leaves it running at the end. Other clients
/// get the same requests, and the first answer wins. So the proxy passes all of them on, without a
/// time limit, and answers none by policy.
///
/// By default every command, file change and skill is approved. If codex proposes a rule for a
/// command, the rule is approved too: codex writes it into `$CODEX_HOME/rules/default.rules`, and
/// from then on matching commands run outside of the sandbox in every later process, without
/// asking. `--exec-approval acceptForSession` is the safer way, since it ends with the session;
/// `--read-only` declines. Requests that codex reserves for a person are passed on. At the start, a
/// line on standard error says what is approved.
///
/// The request to approve a command may ask for more than the sandbox allows: to reach a host, or
/// to write elsewhere (`networkApprovalContext`, `additionalPermissions`). It is approved like any
/// other command. Requests for permissions alone and those of MCP servers are passed on.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(
    mut_arg("connect", |connect| connect.conflicts_with_all(OF_A_STARTED_SERVER)),
    after_help = "Try it:\n  echo '{\"type\":\"cas/request\",\"method\":\"model/list\",\"params\":{}}' | cas proxy"
)]
pub(crate) struct Args {
    /// The codex executable, started as `PATH app-server` [default: `$CAS_CODEX`, else codex on
    /// `$PATH`]
    #[arg(long, value_name = "PATH")]
    codex: Option<PathBuf>,
    /// The working directory of the app-server [default: the current one]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// The directory that records the running app-server, so that the next start ends what a killed
    /// instance has left running [default: ~/.codex/cas/registry]
    #[arg(long, value_name = "DIR")]
    registry: Option<PathBuf>,
    /// The file that keeps the last thread id [default:
    /// ~/.codex/cas/state/HASH-OF-THE-DIRECTORY.json]
    #[arg(long, value_name = "PATH")]
    state_file: Option<PathBuf>,
    /// `clientInfo.name` of the handshake
    #[arg(long, value_name = "NAME", default_value = "cas")]
    client_name: String,
    /// `clientInfo.title` of the handshake
    #[arg(long, value_name = "TITLE", default_value = "cas skill")]
    client_title: String,
    /// `clientInfo.version` of the handshake
    #[arg(long, value_name = "VERSION", default_value = "0.1.0")]
    client_version: String,
    /// Emit a cas/stats of kind heartbeat every N ms; 0 never does
    #[arg(long, value_name = "N", default_value_t = 0)]
    heartbeat_ms: u64,
    /// How many events may wait to be written before reading pauses; 0 never pauses, 1 counts as 2
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    max_out_queue: usize,
    /// The time from SIGTERM to SIGKILL when the instance ends; 0 kills at once
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    kill_timeout_ms: u64,
    /// Emit a cas/error for a cas/request that is not answered in time; 0 waits for ever
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    request_timeout_ms: u64,
    /// Fail a forwarded server request that is not answered in time; 0 waits for ever
    #[arg(long, value_name = "N", default_value_t = 30_000)]
    server_request_timeout_ms: u64,
    #[command(flatten)]
    approvals: Approvals,
    /// Have the server suppress a notification on this connection; may be given several times
    #[arg(long, value_name = "METHOD")]
    opt_out_notification_method: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

/// What says how a server is started, or what it is answered.
const OF_A_STARTED_SERVER: [&str; 8] = [
    "codex",
    "registry",
    "kill_timeout_ms",
    "server_request_timeout_ms",
    "exec_approval",
    "file_approval",
    "skill_approval",
    "read_only",
];

/// The flags that say what is answered to approval requests.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Approvals {
    /// The answer to approval requests for commands; auto also accepts proposed rules permanently,
    /// acceptForSession is safer
    #[arg(
        long,
        value_name = "DECISION",
        value_enum,
        default_value = "auto",
        hide_possible_values = false
    )]
    exec_approval: Decision,
    /// The answer to approval requests for file changes
    #[arg(long, value_name = "DECISION", value_enum, default_value = "auto")]
    file_approval: Decision,
    /// The answer to approval requests for skills
    #[arg(long, value_name = "DECISION", value_enum, default_value = "auto")]
    skill_approval: SkillDecision,
    /// Decline commands, file changes and skills, whatever the other flags say
    #[arg(long)]
    read_only: bool,
}

impl Approvals {
    pub(crate) fn policy(&self) -> ApprovalPolicy {
        if self.read_only {
            return ApprovalPolicy::READ_ONLY;
        }
        ApprovalPolicy {
            exec: self.exec_approval,
            file: self.file_approval,
            skill: self.skill_approval,
        }
    }
}

impl Approvals {
    /// A sentence that says what is approved without asking; `None` if nothing is.
    pub(crate) fn warning(&self) -> Option<String> {
        let policy = self.policy();
        let accepts = |decision| !matches!(decision, Decision::Decline | Decision::Cancel);
        let approved: Vec<&str> = [
            (accepts(policy.exec), "command"),
            (accepts(policy.file), "file change"),
            (policy.skill != SkillDecision::Decline, "skill"),
        ]
        .into_iter()
        .filter_map(|(accepted, what)| accepted.then_some(what))
        .collect();
        if approved.is_empty() {
            return None;
        }
        let mut text = format!("approves every {} unasked", approved.join(", "));
        if policy.exec == Decision::Auto {
            text.push_str(
                "; what codex proposes as a rule is written into its rules and outlives this process: \
                 --exec-approval acceptForSession keeps it to the session, --read-only declines",
            );
        }
        Some(text)
    }
}

impl Args {
    fn options(self) -> Result<Options> {
        let millis = |ms| (ms > 0).then(|| Duration::from_millis(ms));
        Ok(Options {
            codex: self.codex,
            connect: self.connect.endpoint()?,
            cwd: self.cwd,
            state_file: self.state_file,
            registry: self.registry.or_else(registry),
            client_name: self.client_name,
            client_title: self.client_title,
            client_version: self.client_version,
            heartbeat: millis(self.heartbeat_ms),
            max_out_queue: self.max_out_queue,
            kill_timeout: Duration::from_millis(self.kill_timeout_ms),
            request_timeout: millis(self.request_timeout_ms),
            server_request_timeout: millis(self.server_request_timeout_ms),
            approvals: self.approvals.policy(),
            opt_out_notification_methods: self.opt_out_notification_method,
            ..Options::default()
        })
    }
}

/// The registry of all instances of this user.
pub(crate) fn registry() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join(".codex/cas/registry"))
}

/// Runs the instance; returns the exit code.
///
/// # Errors
/// If the standard streams can't be had.
pub(crate) async fn run(args: Args, mut signals: Signals) -> Result<u8> {
    let (stdin, stdout) = (stdio::stdin()?, stdio::stdout()?);
    if let (Some(warning), false) = (args.approvals.warning(), args.connect.is_given()) {
        complain(&warning);
    }
    let options = args.options()?;
    let closed = stdout.watch_closed()?;
    let (tell, notices) = mpsc::channel(4);
    let watch = async move {
        tokio::pin!(closed);
        let mut open = true;
        loop {
            let notice = tokio::select! {
                caught = signals.next() => match caught {
                    Caught::Interrupt => Notice::Interrupt,
                    Caught::Terminate => Notice::Terminate,
                    Caught::Hangup => Notice::Hangup,
                },
                gone = &mut closed, if open => {
                    open = false;
                    if !gone {
                        continue;
                    }
                    Notice::ReaderGone
                }
            };
            if tell.send(notice).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        code = proxy::run(options, stdin, stdout, notices) => Ok(code),
        () = watch => unreachable!("it has no end"),
    }
}

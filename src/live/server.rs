//! `LiveServer`: a server that answered, and the threads that it has loaded.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{locks::command_line, probe::Probe};
use crate::{Error, live::Endpoint};

/// A running server that can be joined.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LiveServer {
    /// The address it listens on, for [`connect_to`](crate::Builder::connect_to).
    #[serde(rename = "address", serialize_with = "as_address")]
    pub endpoint: Endpoint,
    /// Its version, such as `0.171.0`. The version of a TUI may differ.
    pub version: Option<String>,
    /// The user agent that it reports: `<first client>/<version> (<system>) …`.
    pub user_agent: String,
    /// Its `CODEX_HOME`.
    pub home: PathBuf,
    /// The program that started it.
    pub owner: ServerOwner,
    /// Its process id, where the system reports it: on Linux, over a Unix socket.
    pub pid: Option<u32>,
    /// The threads that it has loaded.
    pub threads: Vec<LiveThread>,
}

impl LiveServer {
    /// Whether this program may stop it. A server that another program started may have other
    /// clients.
    #[must_use]
    pub fn is_ours_to_stop(&self) -> bool {
        self.owner == ServerOwner::ThisProgram
    }
}

fn as_address<S: Serializer>(endpoint: &Endpoint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(endpoint)
}

/// The program that started a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ServerOwner {
    /// This program or one of its descendants.
    ThisProgram,
    /// Codex itself: the background server of the TUI, managed by `codex app-server daemon`.
    Daemon,
    /// Another program, or an unknown one.
    Other,
}

/// A thread that a server has loaded.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LiveThread {
    /// The id of the thread.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Usually the first message of the user. Empty before the first turn.
    pub preview: String,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Its status.
    pub status: LiveStatus,
    /// Whether a command or a change waits for approval.
    pub waits_for_approval: bool,
    /// Whether a question waits for the user's answer.
    pub waits_for_input: bool,
    /// Its purpose.
    pub role: ThreadRole,
    /// Whether it is not stored. Such a thread cannot be joined.
    pub ephemeral: bool,
    /// The name of the client that opened it.
    pub originator: Option<String>,
}

impl LiveThread {
    fn unreadable(id: String, reason: String) -> Self {
        Self {
            status: LiveStatus::Unreadable(reason),
            ..Self::from(ReadThread {
                id,
                ..ReadThread::default()
            })
        }
    }

    /// Its name, else the first line of its preview, else its id.
    #[must_use]
    pub fn title(&self) -> &str {
        let name = self.name.as_deref().unwrap_or_default().trim();
        let line = self.preview.trim().lines().next().unwrap_or_default();
        [name, line]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or(&self.id)
    }

    /// Whether it is a session, as opposed to a thread that serves another one.
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.role == ThreadRole::Session
    }
}

/// The status of a loaded thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LiveStatus {
    /// No turn runs.
    Idle,
    /// A turn runs.
    Active,
    /// The last turn ended with a system error. The next one may work.
    SystemError,
    /// The thread was unloaded during the discovery.
    NotLoaded,
    /// The server refuses to read the thread, for this reason. Everything else about it is unknown.
    Unreadable(String),
    /// A status that this crate does not know.
    Other(String),
}

/// The purpose of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
#[non_exhaustive]
pub enum ThreadRole {
    /// A session of a user or a program.
    Session,
    /// A sub-agent of another thread.
    SubAgent {
        /// The id of the other thread.
        parent: String,
    },
    /// A helper of the TUI, such as the one that writes titles.
    Helper,
}

/// The fields of a thread that a discovery uses. All have defaults, so that an older or newer
/// server can be shown too.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReadThread {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) preview: String,
    pub(super) cwd: PathBuf,
    status: Status,
    ephemeral: bool,
    originator: Option<String>,
    thread_source: Option<Value>,
    parent_thread_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    r#type: String,
    active_flags: Vec<String>,
}

impl From<ReadThread> for LiveThread {
    fn from(read: ReadThread) -> Self {
        let waits = |flag: &str| read.status.active_flags.iter().any(|f| f == flag);
        Self {
            waits_for_approval: waits("waitingOnApproval"),
            waits_for_input: waits("waitingOnUserInput"),
            status: match read.status.r#type.as_str() {
                "idle" => LiveStatus::Idle,
                "active" => LiveStatus::Active,
                "systemError" => LiveStatus::SystemError,
                "notLoaded" => LiveStatus::NotLoaded,
                other => LiveStatus::Other(other.to_owned()),
            },
            role: match (read.parent_thread_id, read.thread_source) {
                (Some(parent), _) => ThreadRole::SubAgent { parent },
                (None, Some(Value::String(source))) if source == "thread_title" => {
                    ThreadRole::Helper
                }
                _ => ThreadRole::Session,
            },
            id: read.id,
            name: read.name,
            preview: read.preview,
            cwd: read.cwd,
            ephemeral: read.ephemeral,
            originator: read.originator,
        }
    }
}

/// Attempts to read a thread that the server has loaded and refuses to read.
const READS: usize = 4;

/// Asks a server for its loaded threads.
pub(super) async fn inspect(endpoint: &Endpoint, probe: &Probe) -> Result<LiveServer, Error> {
    let threads = threads(probe).await?;
    let info = probe.client.server().cloned().unwrap_or_default();
    Ok(LiveServer {
        endpoint: endpoint.clone(),
        version: info.version().map(str::to_owned),
        home: info.codex_home.into(),
        user_agent: info.user_agent,
        owner: probe.pid.map_or(ServerOwner::Other, owner),
        pid: probe.pid,
        threads,
    })
}

/// The loaded threads.
///
/// The server refuses to read a thread that was unloaded in between, and sometimes one whose first
/// turn it is storing. A refused read is repeated. A thread that stays refused is shown without
/// details.
async fn threads(probe: &Probe) -> Result<Vec<LiveThread>, Error> {
    let mut threads: Vec<(String, LiveThread)> = Vec::new();
    for attempt in 1..=READS {
        let ids = probe.loaded().await?;
        threads.retain(|(id, _)| ids.contains(id));
        let unread: Vec<String> = ids
            .into_iter()
            .filter(|id| threads.iter().all(|(known, _)| known != id))
            .collect();
        if unread.is_empty() {
            break;
        }
        let reads = probe.read::<ReadThread>(unread.iter()).await;
        for (id, read) in unread.into_iter().zip(reads) {
            let refused = match read {
                Ok(read) => {
                    threads.push((id, read.into()));
                    continue;
                }
                Err(Error::Rpc { source, .. }) => source.message,
                Err(error @ Error::Decode { .. }) => error.to_string(),
                Err(error) => return Err(error),
            };
            if attempt == READS {
                threads.push((id.clone(), LiveThread::unreadable(id, refused)));
            }
        }
    }
    Ok(threads.into_iter().map(|(_, thread)| thread).collect())
}

/// Determined by the ancestors and the command line of the process, on Linux.
fn owner(pid: u32) -> ServerOwner {
    let mut at = pid;
    // The limit holds even if process ids are reused while the ancestors are followed.
    for _ in 0..64 {
        if at == std::process::id() {
            return ServerOwner::ThisProgram;
        }
        match parent(at) {
            Some(parent @ 2..) => at = parent,
            _ => break,
        }
    }
    let managed = command_line(pid)
        .split(|byte| *byte == 0)
        .any(|arg| arg == b"--managed-daemon");
    if managed {
        ServerOwner::Daemon
    } else {
        ServerOwner::Other
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain any character.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

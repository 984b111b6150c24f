//! A server that answered, and the threads that it has loaded.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{locks::command_line, probe::Probe};
use crate::{Error, client::ServerInfo, live::Endpoint};

/// A server that can be joined.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LiveServer {
    /// Where it listens; [`connect_to`](crate::Builder::connect_to) takes a clone.
    #[serde(rename = "address", serialize_with = "as_address")]
    pub endpoint: Endpoint,
    /// Its version, as in `0.169.0`. That of the TUI may differ.
    pub version: Option<String>,
    /// What it said of itself: `<first client>/<version> (<system>) …`.
    pub user_agent: String,
    /// Its `CODEX_HOME`.
    pub home: PathBuf,
    /// Who started it.
    pub owner: ServerOwner,
    /// Its process, where the system tells: on Linux and a Unix socket.
    pub pid: Option<u32>,
    /// The threads that it has loaded.
    pub threads: Vec<LiveThread>,
}

impl LiveServer {
    /// Whether this program may stop it. A server that somebody else started has clients that are not asked.
    #[must_use]
    pub fn is_ours_to_stop(&self) -> bool {
        self.owner == ServerOwner::ThisProgram
    }
}

fn as_address<S: Serializer>(endpoint: &Endpoint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(endpoint)
}

/// Who started a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ServerOwner {
    /// This program, or something that this program has started.
    ThisProgram,
    /// Codex: the background server of the TUI, which `codex app-server daemon` manages.
    Daemon,
    /// Somebody else, or it cannot be told.
    Other,
}

/// A thread that a server has loaded.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LiveThread {
    /// Its id.
    pub id: String,
    /// The name that it was given, if any.
    pub name: Option<String>,
    /// The first message of the user, mostly. Empty before the first turn.
    pub preview: String,
    /// Its working directory.
    pub cwd: PathBuf,
    /// What it does.
    pub status: LiveStatus,
    /// A command or a change waits for somebody's approval.
    pub waits_for_approval: bool,
    /// A question waits for the user's answer.
    pub waits_for_input: bool,
    /// What it is for.
    pub role: ThreadRole,
    /// It is not stored, and so it cannot be joined.
    pub ephemeral: bool,
    /// The program that opened it, by the name it gave.
    pub originator: Option<String>,
}

impl LiveThread {
    fn unreadable(id: String, reason: String) -> Self {
        Self {
            status: LiveStatus::Unreadable(reason),
            ..Self::from(Seen {
                id,
                ..Seen::default()
            })
        }
    }

    /// Its name, or else how its first message begins, or else its id.
    #[must_use]
    pub fn title(&self) -> &str {
        let name = self.name.as_deref().unwrap_or_default().trim();
        let line = self.preview.trim().lines().next().unwrap_or_default();
        [name, line]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or(&self.id)
    }

    /// Whether it is a session of the user, and none of the threads that serve another one.
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.role == ThreadRole::Session
    }
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LiveStatus {
    /// Nothing.
    Idle,
    /// A turn runs.
    Active,
    /// Its last turn ended with an error of the system; the next one may work.
    SystemError,
    /// It was unloaded just then.
    NotLoaded,
    /// The thread is loaded, but the server refuses to read it, for this reason. All else about it is unknown.
    Unreadable(String),
    /// A status that this version of the crate does not know.
    Other(String),
}

/// What a thread is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
#[non_exhaustive]
pub enum ThreadRole {
    /// A session of a user or a program.
    Session,
    /// The agent of another thread.
    SubAgent {
        /// That thread.
        parent: String,
    },
    /// A helper of the TUI, such as the one that writes titles.
    Helper,
}

/// What `thread/read` says, as far as it is looked at here.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Seen {
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

impl From<Seen> for LiveThread {
    fn from(seen: Seen) -> Self {
        let waits = |flag: &str| seen.status.active_flags.iter().any(|f| f == flag);
        Self {
            waits_for_approval: waits("waitingOnApproval"),
            waits_for_input: waits("waitingOnUserInput"),
            status: match seen.status.r#type.as_str() {
                "idle" => LiveStatus::Idle,
                "active" => LiveStatus::Active,
                "systemError" => LiveStatus::SystemError,
                "notLoaded" => LiveStatus::NotLoaded,
                other => LiveStatus::Other(other.to_owned()),
            },
            role: match (seen.parent_thread_id, seen.thread_source) {
                (Some(parent), _) => ThreadRole::SubAgent { parent },
                (None, Some(Value::String(source))) if source == "thread_title" => {
                    ThreadRole::Helper
                }
                _ => ThreadRole::Session,
            },
            id: seen.id,
            name: seen.name,
            preview: seen.preview,
            cwd: seen.cwd,
            ephemeral: seen.ephemeral,
            originator: seen.originator,
        }
    }
}

/// How often a thread is asked for that the server has loaded and refuses to read.
const READS: usize = 4;

/// Asks a server what it has loaded.
pub(super) async fn look(endpoint: &Endpoint, probe: &mut Probe) -> Result<LiveServer, Error> {
    let info: ServerInfo = serde_json::from_value(probe.greeting.clone())
        .map_err(|e| Error::decode("initialize", &probe.greeting.to_string(), &e))?;
    let threads = threads(probe).await?;
    Ok(LiveServer {
        endpoint: endpoint.clone(),
        version: info.version().map(str::to_owned),
        home: info.codex_home.clone().into(),
        user_agent: info.user_agent,
        owner: probe.pid.map_or(ServerOwner::Other, owner),
        pid: probe.pid,
        threads,
    })
}

/// The loaded threads. The server refuses to read a thread that was unloaded in between, and sometimes one whose
/// first turn it is just storing: a refused one is asked for again, and is shown without details if it stays refused.
async fn threads(probe: &mut Probe) -> Result<Vec<LiveThread>, Error> {
    let mut threads: Vec<(String, LiveThread)> = Vec::new();
    for attempt in 1..=READS {
        let ids = loaded(probe).await?;
        threads.retain(|(id, _)| ids.contains(id));
        let unread: Vec<String> = ids
            .into_iter()
            .filter(|id| threads.iter().all(|(known, _)| known != id))
            .collect();
        if unread.is_empty() {
            break;
        }
        let params = unread.iter().map(|id| json!({"threadId": id})).collect();
        let answers = probe.call_each("thread/read", params).await?;
        for (id, answer) in unread.into_iter().zip(answers) {
            let refused = match answer {
                Ok(answer) => match seen(answer) {
                    Some(seen) => {
                        threads.push((id, seen.into()));
                        continue;
                    }
                    None => "the answer to thread/read has no thread".to_owned(),
                },
                Err(error) => error.message,
            };
            if attempt == READS {
                threads.push((id.clone(), LiveThread::unreadable(id, refused)));
            }
        }
    }
    Ok(threads.into_iter().map(|(_, thread)| thread).collect())
}

pub(super) fn seen(answer: Value) -> Option<Seen> {
    let Value::Object(mut answer) = answer else {
        return None;
    };
    serde_json::from_value(answer.remove("thread")?).ok()
}

/// `thread/loaded/list`, all pages.
async fn loaded(probe: &mut Probe) -> Result<Vec<String>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        data: Vec<String>,
        next_cursor: Option<String>,
    }
    let method = "thread/loaded/list";
    let (mut ids, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let answer = probe.call(method, json!({"cursor": cursor})).await?;
        let page = Page::deserialize(&answer)
            .map_err(|e| Error::decode(method, &answer.to_string(), &e))?;
        let is_last = page.data.is_empty();
        ids.extend(page.data);
        // A cursor that comes again would go round for ever.
        match page.next_cursor {
            Some(next) if !is_last && cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok(ids),
        }
    }
}

/// By the line of parents and the command line, on Linux.
fn owner(pid: u32) -> ServerOwner {
    let mut at = pid;
    // No line of parents is as long as this, unless numbers are given out anew while it is followed.
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
    // The name is in parentheses and may hold any character.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

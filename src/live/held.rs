//! Threads that a process without a socket has loaded: found by the locks that codex holds on them, on Linux.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    locks::{command_line, locked},
    probe::Probe,
    server::{LiveServer, ReadThread},
};
use crate::transport::Deadline;

/// A thread that a process without a socket has loaded.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HeldThread {
    /// The id of the thread.
    pub id: String,
    /// The `CODEX_HOME` that stores it.
    pub home: PathBuf,
    /// The process id of its holder.
    pub pid: u32,
    /// The kind of its holder.
    pub holder: Holder,
    /// Its name, or the first line of its first message, if a server of the same home reports them.
    pub title: Option<String>,
    /// Its working directory, or else that of its holder.
    pub cwd: Option<PathBuf>,
}

/// A process that has threads loaded and does not listen, by its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Holder {
    /// A TUI with an embedded server: `codex --no-daemon`, `-c key=value`, `--search`.
    Tui,
    /// `codex exec`.
    Exec,
    /// An app-server on stdio, or one that could not be reached.
    AppServer,
}

/// The held threads of a home that none of `servers` has loaded.
pub(super) async fn held_threads(
    home: &Path,
    servers: &[(LiveServer, Probe)],
    deadline: Deadline,
) -> Vec<HeldThread> {
    let mut held: Vec<_> = locked(home)
        .into_iter()
        .filter(|(id, pid)| {
            !servers.iter().any(|(server, _)| {
                server.pid == Some(*pid) || server.threads.iter().any(|thread| thread.id == *id)
            })
        })
        .map(|(id, pid)| HeldThread {
            id,
            home: home.to_owned(),
            pid,
            holder: holder(pid),
            title: None,
            cwd: fs::read_link(format!("/proc/{pid}/cwd")).ok(),
        })
        .collect();
    held.sort_by(|a, b| a.id.cmp(&b.id));
    let same_home = |server: &LiveServer| same_file(&server.home, home);
    let Some((_, probe)) = servers.iter().find(|(server, _)| same_home(server)) else {
        return held;
    };
    if held.is_empty() || deadline.left().is_zero() {
        return held;
    }
    // A server of the same home can read what is stored, though it has not loaded the thread.
    let reads = probe
        .read::<ReadThread>(held.iter().map(|thread| &thread.id))
        .await;
    for (thread, read) in held.iter_mut().zip(reads) {
        if let Ok(read) = read {
            let name = read.name.unwrap_or(read.preview);
            let line = name.trim().lines().next().unwrap_or_default();
            thread.title = (!line.is_empty()).then(|| line.to_owned());
            thread.cwd = Some(read.cwd)
                .filter(|cwd| !cwd.as_os_str().is_empty())
                .or(thread.cwd.take());
        }
    }
    held
}

fn holder(pid: u32) -> Holder {
    let command = command_line(pid);
    let args = command.split(|byte| *byte == 0).skip(1);
    for arg in args {
        match arg {
            b"exec" | b"e" => return Holder::Exec,
            b"app-server" => return Holder::AppServer,
            _ => {}
        }
    }
    Holder::Tui
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

//! Threads that a process without a socket has loaded: found by the locks that codex holds on them, on Linux.
//!
//! The locks are only looked at. Trying one, even for a moment, would make codex fail that wants it just then.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;

use super::{
    probe::Probe,
    server::{LiveServer, seen},
};
use crate::transport::Deadline;

/// A thread that another process has loaded, which has no socket.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HeldThread {
    /// Its id.
    pub id: String,
    /// The `CODEX_HOME` it is stored in.
    pub home: PathBuf,
    /// The process that has it loaded.
    pub pid: u32,
    /// What that process is.
    pub holder: Holder,
    /// Its name, or how its first message begins, if a server of the same home can tell.
    pub title: Option<String>,
    /// Its working directory, or else that of the process.
    pub cwd: Option<PathBuf>,
}

/// A process that has threads loaded without listening, by its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Holder {
    /// A TUI with a server of its own inside: `codex --no-daemon`, `-c key=value`, `--search`.
    Tui,
    /// `codex exec`.
    Exec,
    /// An app-server that is on stdio, or could not be reached.
    AppServer,
}

/// The threads of a home that no server among `servers` has loaded.
pub(super) async fn held_threads(
    home: &Path,
    servers: &mut [(LiveServer, Probe)],
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
    let Some((_, probe)) = servers.iter_mut().find(|(server, _)| same_home(server)) else {
        return held;
    };
    if held.is_empty() || deadline.left().is_zero() {
        return held;
    }
    // Who it was that has it loaded is not told to a server, but what is stored is.
    let read = held
        .iter()
        .map(|thread| json!({"threadId": thread.id}))
        .collect();
    let Ok(answers) = probe.call_each("thread/read", read).await else {
        return held;
    };
    for (thread, answer) in held.iter_mut().zip(answers) {
        if let Some(seen) = answer.ok().and_then(seen) {
            let name = seen.name.unwrap_or(seen.preview);
            let line = name.trim().lines().next().unwrap_or_default();
            thread.title = (!line.is_empty()).then(|| line.to_owned());
            thread.cwd = Some(seen.cwd)
                .filter(|cwd| !cwd.as_os_str().is_empty())
                .or(thread.cwd.take());
        }
    }
    held
}

/// The ids of the threads that are loaded somewhere, and the processes that have them.
fn locked(home: &Path) -> Vec<(String, u32)> {
    let Ok(dir) = fs::canonicalize(home.join("thread-writer-locks")) else {
        return Vec::new();
    };
    let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
    let files: HashMap<u64, PathBuf> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.ino(), entry.path())))
        .collect();
    // `1: FLOCK  ADVISORY  WRITE 7685 fe:00:11495924 0 EOF`
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let locks = locks.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let kind = words.nth(1)?;
        let pid: u32 = words.nth(2)?.parse().ok()?;
        let inode: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        let path = files.get(&inode)?;
        // The number of a file is its own only within its file system.
        (kind == "FLOCK" && has_open(pid, path)).then_some((path, pid))
    });
    let threads = locks.filter_map(|(path, pid)| {
        let id = path.file_name()?.to_str()?.strip_suffix(".lock")?;
        (!id.starts_with('.')).then(|| (id.to_owned(), pid))
    });
    threads.collect()
}

fn has_open(pid: u32, path: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    files
        .into_iter()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
}

fn holder(pid: u32) -> Holder {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
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

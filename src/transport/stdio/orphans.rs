//! Records on disk of which child belongs to which host, so that the next start ends what a killed
//! host has left.
//!
//! There is one file per child, `app-server-PID-START.json`, readable only by its owner, written
//! under another name and renamed into place. A file that is not such a record, or can't be read,
//! is left alone.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::{Signal, getpid};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::descendants::{Descendants, PidScope, ProcessId};
use crate::{error::SpawnError, transport::private_files::PrivateDir};

const VERSION: u32 = 1;

/// Far longer than any record.
const MAX_RECORD: u64 = 4096;

/// How often to check whether an orphan has ended.
const POLL: Duration = Duration::from_millis(10);

/// A directory of records that is ready for use.
#[derive(Debug)]
pub struct Registry {
    dir: Arc<PrivateDir>,
    host: ProcessId,
    scope: PidScope,
}

/// The record of a child. Dropping it deletes the file.
#[derive(Debug)]
pub(super) struct Record {
    dir: Arc<PrivateDir>,
    name: String,
}

impl Drop for Record {
    fn drop(&mut self) {
        // The file may have been deleted already, by hand or by another host that took this one for
        // dead.
        let _ = self.dir.remove(&self.name);
    }
}

/// The contents of a record.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    version: u32,
    boot: String,
    namespace: String,
    host: ProcessId,
    child: ProcessId,
    mark: String,
}

impl Registry {
    /// Opens the directory, creates it if it does not exist, and ends what dead hosts have left,
    /// each step within `grace`.
    ///
    /// A record ends processes, so a directory where another user could have put one is refused.
    ///
    /// # Errors
    /// If the directory can't be used, or if the platform does not report when a process was
    /// started.
    pub async fn open(dir: &Path, grace: Duration) -> Result<Self, SpawnError> {
        let failed = |source| unusable(dir, source);
        let private = PrivateDir::own(dir).map_err(failed)?;
        let host = ProcessId::of(getpid()).ok_or_else(|| {
            let text = "it needs a system that tells when a process was started: Linux with /proc, or macOS";
            failed(io::Error::new(io::ErrorKind::Unsupported, text))
        })?;
        let this = Self {
            dir: Arc::new(private),
            host,
            scope: PidScope::current().map_err(failed)?,
        };
        let orphans = this.orphans().map_err(failed)?;
        let ends = orphans.into_iter().map(|(record, contents)| async move {
            end(&contents, grace).await;
            drop(record);
        });
        futures_util::future::join_all(ends).await;
        Ok(this)
    }

    /// Writes the record of a child.
    pub(super) fn record(&self, descendants: &Descendants) -> Result<Record, SpawnError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |source| unusable(self.dir.path(), source);
        let child = descendants
            .leader()
            .ok_or_else(|| failed(io::Error::other("the child's start time is not known")))?;
        let contents = Contents {
            version: VERSION,
            boot: self.scope.boot.clone(),
            namespace: self.scope.namespace.clone(),
            host: self.host,
            child,
            mark: descendants.mark().to_owned(),
        };
        let json = serde_json::to_vec(&contents).map_err(|e| failed(e.into()))?;
        let ProcessId { pid, start } = child;
        let name = format!("app-server-{pid}-{start}.json");
        let ProcessId { pid, start } = self.host;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!(".{pid}-{start}-{count}.tmp");
        self.dir
            .replace_through(unfinished, &name, &json)
            .map_err(failed)?;
        Ok(self.of_name(name))
    }

    fn of_name(&self, name: String) -> Record {
        Record {
            dir: self.dir.clone(),
            name,
        }
    }

    /// The records of dead hosts. Deletes the records from before the machine was started.
    fn orphans(&self) -> io::Result<Vec<(Record, Contents)>> {
        let mut orphans = Vec::new();
        for name in self.dir.names()? {
            let Ok(name) = name.into_string() else {
                continue;
            };
            if let Some(host) = unfinished_by(&name) {
                if host != self.host && !host.is_alive() {
                    drop(self.of_name(name));
                }
                continue;
            }
            let is_record = name
                .strip_prefix("app-server-")
                .is_some_and(|rest| rest.strip_suffix(".json").is_some());
            if !is_record {
                continue;
            }
            let Some(contents) = self.read(&name) else {
                tracing::debug!(target: "cas_sdk", name, "a file is no record of this version and user");
                continue;
            };
            let is_orphan = contents.namespace == self.scope.namespace
                && contents.host != self.host
                && !contents.host.is_alive();
            if contents.boot != self.scope.boot {
                drop(self.of_name(name));
            } else if is_orphan {
                orphans.push((self.of_name(name), contents));
            }
        }
        Ok(orphans)
    }

    /// Reads a record. `None` for anything but a complete record of this user.
    fn read(&self, name: &str) -> Option<Contents> {
        let json = self.dir.read(name, MAX_RECORD).ok()?;
        let contents: Contents = serde_json::from_slice(&json).ok()?;
        let sound =
            contents.version == VERSION && !contents.mark.is_empty() && contents.child.pid > 1;
        sound.then_some(contents)
    }
}

/// The host that was writing a record under this name.
fn unfinished_by(name: &str) -> Option<ProcessId> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".tmp")?.split('-');
    let (pid, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(ProcessId { pid, start })
}

/// Ends a child whose host is dead. The child's input has ended already, so it first gets the time
/// to exit by itself.
async fn end(contents: &Contents, grace: Duration) {
    let child = contents.child;
    let mut descendants = Descendants::of_orphan(Some(child), contents.mark.clone());
    descendants.refresh();
    for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        if let Some(signal) = signal {
            let pid = child.pid;
            tracing::warn!(target: "cas_sdk", pid, ?signal, "a killed host has left an app-server, which is ended");
            descendants.signal_each(signal);
        }
        let ended = async {
            while child.is_alive() || descendants.any_alive() {
                sleep(POLL).await;
                descendants.refresh();
            }
        };
        if timeout(grace, ended).await.is_ok() {
            return;
        }
    }
}

fn unusable(dir: &Path, source: io::Error) -> SpawnError {
    SpawnError::Registry {
        dir: dir.to_owned(),
        source: Arc::new(source),
    }
}

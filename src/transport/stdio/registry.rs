//! The registry: which children run for which host, on disk, so that the next start ends what a killed host left.
//!
//! One file a child, `app-server-PID-START.json`, readable by its owner alone, written beside its place and renamed into
//! it. What is not such a file, or can't be read, is left alone.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::{Signal, getpid};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    POLL,
    kin::{Ident, Kin},
};
use crate::{error::SpawnError, private_files::PrivateDir, protocol::pointer::readable};

const VERSION: u32 = 1;

/// Far more than a record takes; a larger file is not one.
const LARGEST: u64 = 4096;

/// A directory of records that is ready for use.
#[derive(Debug)]
pub struct Registry {
    dir: Arc<PrivateDir>,
    host: Ident,
    place: Place,
}

/// A record that is taken away again when nothing is left of its child.
#[derive(Debug)]
pub(super) struct Entry {
    dir: Arc<PrivateDir>,
    name: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // It may have been taken away already, by hand or by another host after this one was taken for dead.
        let _ = self.dir.remove(&self.name);
    }
}

/// Where a process number means anything.
#[derive(Debug)]
struct Place {
    /// The start of the machine: before it, all numbers were others'.
    boot: String,
    /// The namespace of process numbers: containers that share a directory don't share those.
    namespace: String,
}

readable! {
    #[derive(Debug)]
    struct Record {
        needed {
            version: u32 = "version",
            boot: String = "boot",
            namespace: String = "namespace",
            host: Ident = "host",
            child: Ident = "child",
            mark: String = "mark",
        }
    }
}

impl Record {
    fn to_json(&self) -> Value {
        let ident = |ident: Ident| json!({"pid": ident.pid, "start": ident.start});
        json!({
            "version": self.version,
            "boot": self.boot,
            "namespace": self.namespace,
            "host": ident(self.host),
            "child": ident(self.child),
            "mark": self.mark,
        })
    }
}

impl Registry {
    /// Makes the directory if it is not there, and ends what hosts that are dead have left, each step within `grace`.
    ///
    /// A record ends processes, so a directory where others could have put it is refused.
    ///
    /// # Errors
    /// If the directory can't be used.
    pub async fn open(dir: &Path, grace: Duration) -> Result<Self, SpawnError> {
        let failed = |source| unusable(dir, source);
        let private = PrivateDir::own(dir).map_err(failed)?;
        let host = Ident::of(getpid()).ok_or_else(|| {
            let text = "it needs a system that tells when a process was started in /proc";
            failed(io::Error::new(io::ErrorKind::Unsupported, text))
        })?;
        let this = Self {
            dir: Arc::new(private),
            host,
            place: Place::current().map_err(failed)?,
        };
        let left = this.left_behind().map_err(failed)?;
        let ends = left.into_iter().map(|(entry, record)| async move {
            end(&record, grace).await;
            drop(entry);
        });
        futures_util::future::join_all(ends).await;
        Ok(this)
    }

    /// Puts a child on record.
    pub(super) fn enter(&self, kin: &Kin) -> Result<Entry, SpawnError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |source| unusable(self.dir.path(), source);
        let child = kin
            .leader()
            .ok_or_else(|| failed(io::Error::other("the child's start time is not known")))?;
        let record = Record {
            version: VERSION,
            boot: self.place.boot.clone(),
            namespace: self.place.namespace.clone(),
            host: self.host,
            child,
            mark: kin.mark().to_owned(),
        };
        let text = record.to_json().to_string();
        let Ident { pid, start } = child;
        let name = format!("app-server-{pid}-{start}.json");
        let Ident { pid, start } = self.host;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!(".{pid}-{start}-{count}.tmp");
        self.dir
            .replace_through(unfinished, &name, text.as_bytes())
            .map_err(failed)?;
        Ok(self.entry(name))
    }

    fn entry(&self, name: String) -> Entry {
        Entry {
            dir: self.dir.clone(),
            name,
        }
    }

    /// The records of hosts that are dead. Those of before the machine was started are taken away on the way.
    fn left_behind(&self) -> io::Result<Vec<(Entry, Record)>> {
        let mut left = Vec::new();
        for name in self.dir.names()? {
            let Ok(name) = name.into_string() else {
                continue;
            };
            if let Some(host) = unfinished_by(&name) {
                if host != self.host && !host.is_alive() {
                    drop(self.entry(name));
                }
                continue;
            }
            let of_ours = name.strip_prefix("app-server-");
            if of_ours.and_then(|n| n.strip_suffix(".json")).is_none() {
                continue;
            }
            let Some(record) = self.read(&name) else {
                tracing::debug!(target: "cas_sdk", name, "a file is no record of this version and user");
                continue;
            };
            let is_orphaned = record.namespace == self.place.namespace
                && record.host != self.host
                && !record.host.is_alive();
            if record.boot != self.place.boot {
                drop(self.entry(name));
            } else if is_orphaned {
                left.push((self.entry(name), record));
            }
        }
        Ok(left)
    }

    /// `None` for anything but a whole record of this user.
    fn read(&self, name: &str) -> Option<Record> {
        let text = self.dir.read(name, LARGEST).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        let sound = record.version == VERSION && !record.mark.is_empty() && record.child.pid > 1;
        sound.then_some(record)
    }
}

impl Place {
    fn current() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let namespace = fs::read_link("/proc/self/ns/pid")?;
        Ok(Self {
            boot: boot.trim().to_owned(),
            namespace: namespace.to_string_lossy().into_owned(),
        })
    }
}

/// The host that was writing a record under this name.
fn unfinished_by(name: &str) -> Option<Ident> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".tmp")?.split('-');
    let (pid, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Ident { pid, start })
}

/// Ends a child that has no host any more. Its input is at its end, so it gets the time to go by itself first.
async fn end(record: &Record, grace: Duration) {
    let child = record.child;
    let mut kin = Kin::of_another(Some(child), record.mark.clone());
    kin.look();
    for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        if let Some(signal) = signal {
            let pid = child.pid;
            tracing::warn!(target: "cas_sdk", %pid, ?signal, "a killed host has left an app-server");
            kin.signal_each(signal);
        }
        let gone = async {
            while child.is_alive() || kin.is_alive() {
                sleep(POLL).await;
                kin.look();
            }
        };
        if timeout(grace, gone).await.is_ok() {
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

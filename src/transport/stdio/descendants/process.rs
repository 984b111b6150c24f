//! A process as the operating system lists it.

use serde::{Deserialize, Serialize};

/// One process and no other, whoever gets its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// When the process was started: clock ticks since the machine was started on Linux, seconds since the epoch on
    /// macOS.
    pub(crate) start: u64,
}

/// The state of a process at one moment.
#[derive(Debug)]
pub(super) struct ProcessInfo {
    pub(super) id: ProcessId,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// A zombie, or about to vanish.
    pub(super) ended: bool,
}

/// Where a process number means anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PidScope {
    /// The start of the machine. All numbers of before were other processes'.
    pub(crate) boot: String,
    /// The namespace of process numbers. Containers that share a directory don't share it.
    pub(crate) namespace: String,
}

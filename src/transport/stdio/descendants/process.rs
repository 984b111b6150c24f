//! A process as the operating system lists it.

use serde::{Deserialize, Serialize};

/// Identifies one process and no other, whoever gets its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// When the process was started: clock ticks since the machine was started on Linux, seconds
    /// since the epoch on macOS.
    pub(crate) start: u64,
}

/// The state of a process at one moment.
#[derive(Debug)]
pub(super) struct ProcessInfo {
    pub(super) id: ProcessId,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// Whether the process is a zombie, or about to vanish.
    pub(super) ended: bool,
}

/// The scope in which a process number has a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PidScope {
    /// The start of the machine. Numbers from before it belong to other processes.
    pub(crate) boot: String,
    /// The namespace of process numbers. Containers that share a directory don't share it.
    pub(crate) namespace: String,
}

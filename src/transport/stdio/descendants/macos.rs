//! What macOS says about its processes, through `sysctl` and `libproc`.

use std::io;

use rustix::process::{Pid, Signal, getpgid, kill_process};
use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::process::{PidScope, ProcessId, ProcessInfo};

/// The process that currently has this number.
pub(super) fn process(pid: i32) -> Option<ProcessInfo> {
    let only = [sysinfo::Pid::from_u32(u32::try_from(pid).ok()?)];
    let system = list(
        ProcessesToUpdate::Some(&only),
        ProcessRefreshKind::nothing(),
    );
    system.process(only[0]).and_then(info)
}

/// All processes that this user can see.
pub(super) fn processes() -> impl Iterator<Item = ProcessInfo> {
    let system = list(ProcessesToUpdate::All, ProcessRefreshKind::nothing());
    let found: Vec<ProcessInfo> = system.processes().values().filter_map(info).collect();
    found.into_iter()
}

/// Whether a process was started with a variable, given as `NAME=value`. macOS hides the
/// environments of its own programs and of other users' processes.
pub(super) fn has_env(id: ProcessId, variable: &[u8]) -> bool {
    let Ok(pid) = u32::try_from(id.pid) else {
        return false;
    };
    let only = [sysinfo::Pid::from_u32(pid)];
    let what = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    let system = list(ProcessesToUpdate::Some(&only), what);
    system.process(only[0]).is_some_and(|process| {
        let mut environment = process.environ().iter();
        environment.any(|entry| entry.as_encoded_bytes() == variable)
    })
}

/// Sends a signal to the process that currently has this number, if `is_meant` says so. macOS has
/// no way to hold a number, so another process could get the number between the check and the
/// signal.
pub(super) fn signal(pid: Pid, signal: Signal, is_meant: impl Fn() -> bool) {
    if is_meant() {
        let _ = kill_process(pid, signal);
    }
}

/// The scope of process numbers. On macOS a process has a start time of day, which tells processes
/// apart without the start of the machine. There are no namespaces.
#[expect(clippy::unnecessary_wraps, reason = "Linux may not be able to tell")]
pub(super) fn pid_scope() -> io::Result<PidScope> {
    Ok(PidScope {
        boot: "macos".to_owned(),
        namespace: "macos".to_owned(),
    })
}

fn list(which: ProcessesToUpdate<'_>, what: ProcessRefreshKind) -> System {
    let mut system = System::new();
    system.refresh_processes_specifics(which, true, what);
    system
}

fn info(process: &Process) -> Option<ProcessInfo> {
    let pid = i32::try_from(process.pid().as_u32()).ok()?;
    let parent = process.parent().map_or(0, sysinfo::Pid::as_u32);
    let group = getpgid(Pid::from_raw(pid)).ok()?;
    Some(ProcessInfo {
        id: ProcessId {
            pid,
            start: process.start_time(),
        },
        parent: i32::try_from(parent).ok()?,
        group: group.as_raw_pid(),
        ended: matches!(
            process.status(),
            ProcessStatus::Zombie | ProcessStatus::Dead
        ),
    })
}

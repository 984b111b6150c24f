//! What Linux says about its processes, in `/proc`.

use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};

use super::process::{PidScope, ProcessId, ProcessInfo};

/// The process that currently has this number.
pub(super) fn process(pid: i32) -> Option<ProcessInfo> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes that this user can see.
pub(super) fn processes() -> impl Iterator<Item = ProcessInfo> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
}

/// Whether a process was started with a variable, given as `NAME=value`.
pub(super) fn has_env(id: ProcessId, variable: &[u8]) -> bool {
    // The environment of another user's process can't be read; such a process is not a descendant.
    let environment = fs::read(format!("/proc/{}/environ", id.pid)).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|v| v == variable)
}

/// Sends a signal to the process that currently has this number, if `is_meant` still says so once
/// the process is held.
pub(super) fn signal(pid: Pid, signal: Signal, is_meant: impl Fn() -> bool) {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            io::Errno,
            process::{PidfdFlags, pidfd_open, pidfd_send_signal},
        };
        // NB. Open the descriptor first and check afterwards: the descriptor then keeps naming the
        // process that was checked.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => {
                if is_meant() {
                    let _ = pidfd_send_signal(process, signal);
                }
                return;
            }
            // An old kernel, or a sandbox.
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(_) => return,
        }
    }
    if is_meant() {
        let _ = kill_process(pid, signal);
    }
}

pub(super) fn pid_scope() -> io::Result<PidScope> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    Ok(PidScope {
        boot: boot.trim().to_owned(),
        namespace: namespace.to_string_lossy().into_owned(),
    })
}

/// Reads `/proc/PID/stat`.
fn parse(pid: i32, text: &str) -> Option<ProcessInfo> {
    // The name is in parentheses and may hold any character, these included.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let start = fields.nth(16)?.parse().ok()?;
    Some(ProcessInfo {
        id: ProcessId { pid, start },
        parent,
        group,
        ended: matches!(state, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) b (c)) S 3 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9999 1 2";
        let info = parse(7, text).unwrap();
        assert_eq!((info.parent, info.group), (3, 5));
        assert_eq!(
            info.id,
            ProcessId {
                pid: 7,
                start: 9999
            }
        );
        assert!(!info.ended);
        assert!(parse(7, "7 (a) S 3").is_none());
    }
}

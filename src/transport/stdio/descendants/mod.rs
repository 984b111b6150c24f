//! The descendants of a child: found on Linux in `/proc`, on macOS through `sysctl`. On other
//! systems only the process group is known.
//!
//! A process that calls `setsid` leaves the group, and a process whose parent has ended can't be
//! traced to the child by its parents. So three traces are followed: the group, the chain of
//! parents, and an inherited environment variable. A process is identified by its number and its
//! start time, so that no other process that gets the number receives a signal.

#[cfg(not(target_os = "macos"))]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod process;

#[cfg(not(target_os = "macos"))]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    io,
};

use rustix::process::{Pid, Signal};

use self::process::ProcessInfo;

pub(super) use process::{PidScope, ProcessId};

/// The environment variable that marks a child and its descendants.
pub(super) const CHILD_ENV: &str = "CAS_SDK_CHILD";

/// A value of [`CHILD_ENV`] that no other child has.
pub(super) fn child_mark() -> String {
    let random = RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
}

impl ProcessId {
    /// The process that currently has this number.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Some(system::process(pid.as_raw_pid())?.id)
    }

    /// Whether the process runs. A zombie does not.
    pub(super) fn is_alive(self) -> bool {
        system::process(self.pid).is_some_and(|info| info.id == self && !info.ended)
    }

    /// Sends the process a signal, or nothing if it has ended.
    pub(super) fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            system::signal(pid, signal, || self.is_alive());
        }
    }
}

impl PidScope {
    /// The scope of this process's own number.
    pub(super) fn current() -> io::Result<Self> {
        system::pid_scope()
    }
}

/// A child and its descendants, as far as they were seen.
#[derive(Debug)]
pub(super) struct Descendants {
    /// `None` where the system does not list its processes.
    leader: Option<ProcessId>,
    mark: String,
    /// Whether this process started the leader. If so, the group's number is its own until the
    /// group is gone.
    own: bool,
    /// Each descendant with the process group that it had when it was last seen. The leader is not
    /// among them.
    known: HashMap<ProcessId, i32>,
    /// How many of the descendants ran at the last refresh.
    alive: usize,
}

impl Descendants {
    /// The descendants of a child of this process.
    pub(super) fn of_child(leader: Option<Pid>, mark: String) -> Self {
        Self {
            own: true,
            ..Self::of_orphan(leader.and_then(ProcessId::of), mark)
        }
    }

    /// The descendants of a child that another process started.
    pub(super) fn of_orphan(leader: Option<ProcessId>, mark: String) -> Self {
        Self {
            leader,
            mark,
            own: false,
            known: HashMap::new(),
            alive: 0,
        }
    }

    pub(super) fn leader(&self) -> Option<ProcessId> {
        self.leader
    }

    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// How many descendants have ever been seen.
    pub(super) fn seen(&self) -> usize {
        self.known.len()
    }

    /// Whether any descendant ran at the last refresh.
    pub(super) fn any_alive(&self) -> bool {
        self.alive > 0
    }

    /// Looks for the descendants that run now.
    pub(super) fn refresh(&mut self) {
        let Some(leader) = self.leader else { return };
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        let mut lines = HashSet::new();
        let mut group = self.own;
        let mut others = Vec::new();
        for process in system::processes() {
            if process.id.pid == leader.pid {
                // If the leader's number now belongs to another process, so does its group.
                group = process.id == leader;
                lines.extend(group.then_some(leader.pid));
            } else if process.id.start >= leader.start && process.id.pid != me && !process.ended {
                others.push(process);
            }
        }
        self.alive = 0;
        let known = std::mem::take(&mut self.known);
        let mut take =
            |others: &mut Vec<ProcessInfo>,
             is_descendant: &dyn Fn(&ProcessInfo, &HashSet<i32>) -> bool| {
                loop {
                    let before = others.len();
                    others.retain(|process| {
                        let found = is_descendant(process, &lines);
                        if found {
                            lines.insert(process.id.pid);
                            self.known.insert(process.id, process.group);
                            self.alive += 1;
                        }
                        !found
                    });
                    if others.len() == before {
                        break;
                    }
                }
            };
        take(&mut others, &|process, lines| {
            (group && process.group == leader.pid)
                || lines.contains(&process.parent)
                || known.contains_key(&process.id)
        });
        // The environment is checked last, because it takes one more lookup per process.
        let mark = format!("{CHILD_ENV}={}", self.mark);
        let marked: Vec<ProcessId> = others
            .iter()
            .map(|process| process.id)
            .filter(|id| system::has_env(*id, mark.as_bytes()))
            .collect();
        if !marked.is_empty() {
            take(&mut others, &|process, lines| {
                marked.contains(&process.id) || lines.contains(&process.parent)
            });
        }
        // Descendants that have ended stay known.
        for (id, group) in known {
            self.known.entry(id).or_insert(group);
        }
    }

    /// Whether `pid` is a descendant, and runs.
    #[cfg(feature = "ws")]
    pub(super) fn includes(&self, pid: u32) -> bool {
        let mut known = self.known.keys();
        known.any(|id| u32::try_from(id.pid) == Ok(pid) && id.is_alive())
    }

    /// Sends a signal to each descendant that has left the group.
    pub(super) fn signal_outside(&self, group: Pid, signal: Signal) {
        for (id, its) in &self.known {
            if *its != group.as_raw_pid() {
                id.signal(signal);
            }
        }
    }

    /// Sends a signal to the leader and to each descendant.
    pub(super) fn signal_each(&self, signal: Signal) {
        for id in self.leader.iter().chain(self.known.keys()) {
            id.signal(signal);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_another_start_time_is_not_the_one_and_gets_no_signal() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let id = ProcessId::of(Pid::from_child(&child)).unwrap();
        let other = ProcessId {
            start: id.start + 1,
            ..id
        };
        assert!(id.is_alive() && !other.is_alive());
        other.signal(Signal::KILL);
        assert!(child.try_wait().unwrap().is_none(), "it was not meant");
        id.signal(Signal::KILL);
        child.wait().unwrap();
        assert!(!id.is_alive());
    }
}

//! What a child has started: found in `/proc`, so on Linux only; elsewhere there is the process group and no more.
//!
//! A process that calls `setsid` is out of the group's reach, and one whose parent has ended has lost its line. So three
//! traces are followed: the group, the line of parents, and a mark in the environment that is inherited. Every process
//! is named by its number and its start time, so that nobody else who got the number can be hit.

use std::{
    collections::{HashMap, HashSet},
    fs,
    hash::{BuildHasher as _, RandomState},
};

use rustix::process::{Pid, Signal};

use crate::protocol::pointer::readable;

/// The environment variable that marks a child and what it starts.
pub(super) const MARK: &str = "CAS_SDK_CHILD";

/// A mark that no other child has.
pub(super) fn mark() -> String {
    let random = RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
}

readable! {
    /// A process and no other.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub(super) struct Ident {
        needed {
            pub(super) pid: i32 = "pid",
            /// In clock ticks since the machine was started.
            pub(super) start: u64 = "start",
        }
    }
}

impl Ident {
    /// The process that has this number now.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Some(Stat::of(pid.as_raw_pid())?.ident)
    }

    /// Whether it runs; a zombie does not.
    pub(super) fn is_alive(self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.ident == self && !stat.ended)
    }

    /// Sends it a signal, or nothing if it has ended.
    #[cfg(target_os = "linux")]
    pub(super) fn signal(self, signal: Signal) {
        use rustix::{
            io::Errno,
            process::{PidfdFlags, kill_process, pidfd_open, pidfd_send_signal},
        };
        let Some(pid) = Pid::from_raw(self.pid) else {
            return;
        };
        // NB. First the descriptor, then the look: what was seen to be the process stays it.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) if self.is_alive() => {
                let _ = pidfd_send_signal(process, signal);
            }
            // An old kernel, or a sandbox.
            Err(Errno::NOSYS | Errno::PERM) if self.is_alive() => {
                let _ = kill_process(pid, signal);
            }
            _ => {}
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn signal(self, _: Signal) {}
}

/// A child and what it has started, as far as it was seen.
#[derive(Debug)]
pub(super) struct Kin {
    /// `None` where there is no `/proc`.
    leader: Option<Ident>,
    mark: String,
    /// Whether the leader was started here, so that the group's number is its own until the group is gone.
    own: bool,
    /// Each with its process group when it was last seen; the leader is not among them.
    known: HashMap<Ident, i32>,
    /// How many of them were there when it was last looked.
    alive: usize,
}

impl Kin {
    pub(super) fn new(leader: Option<Pid>, mark: String) -> Self {
        Self {
            own: true,
            ..Self::of_another(leader.and_then(Ident::of), mark)
        }
    }

    /// Of a child that another process has started.
    pub(super) fn of_another(leader: Option<Ident>, mark: String) -> Self {
        Self {
            leader,
            mark,
            own: false,
            known: HashMap::new(),
            alive: 0,
        }
    }

    pub(super) fn leader(&self) -> Option<Ident> {
        self.leader
    }

    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// How many have ever been seen.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether any was there when it was last looked.
    pub(super) fn is_alive(&self) -> bool {
        self.alive > 0
    }

    /// Finds what there is now.
    pub(super) fn look(&mut self) {
        let Some(leader) = self.leader else { return };
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        let mut lines = HashSet::new();
        let mut group = self.own;
        let mut others = Vec::new();
        for process in all() {
            if process.ident.pid == leader.pid {
                // Else somebody else has the number now, and perhaps a group of it.
                group = process.ident == leader;
                lines.extend(group.then_some(leader.pid));
            } else if process.ident.start >= leader.start
                && process.ident.pid != me
                && !process.ended
            {
                others.push(process);
            }
        }
        self.alive = 0;
        let known = std::mem::take(&mut self.known);
        let mut take = |others: &mut Vec<Stat>, of_kin: &dyn Fn(&Stat, &HashSet<i32>) -> bool| {
            loop {
                let before = others.len();
                others.retain(|process| {
                    let found = of_kin(process, &lines);
                    if found {
                        lines.insert(process.ident.pid);
                        self.known.insert(process.ident, process.group);
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
                || known.contains_key(&process.ident)
        });
        // The mark last: it takes a file each.
        let mark = format!("{MARK}={}", self.mark);
        let marked: Vec<Ident> = others
            .iter()
            .map(|process| process.ident)
            .filter(|ident| bears(*ident, mark.as_bytes()))
            .collect();
        if !marked.is_empty() {
            take(&mut others, &|process, lines| {
                marked.contains(&process.ident) || lines.contains(&process.parent)
            });
        }
        // Those that are gone.
        for (ident, group) in known {
            self.known.entry(ident).or_insert(group);
        }
    }

    /// Whether a process is among those that were found.
    #[cfg(feature = "ws")]
    pub(super) fn includes(&self, pid: u32) -> bool {
        let mut known = self.known.keys();
        known.any(|ident| u32::try_from(ident.pid) == Ok(pid) && ident.is_alive())
    }

    /// Sends a signal to each one that has left the group.
    pub(super) fn signal_outside(&self, group: Pid, signal: Signal) {
        for (ident, its) in &self.known {
            if *its != group.as_raw_pid() {
                ident.signal(signal);
            }
        }
    }

    /// Sends a signal to each, the leader included.
    pub(super) fn signal_each(&self, signal: Signal) {
        for ident in self.leader.iter().chain(self.known.keys()) {
            ident.signal(signal);
        }
    }
}

/// A line of `/proc/PID/stat`.
struct Stat {
    ident: Ident,
    parent: i32,
    group: i32,
    /// It is a zombie, or about to vanish.
    ended: bool,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: i32, text: &str) -> Option<Self> {
        // The name is in parentheses and may hold any character, these included.
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let start = fields.nth(16)?.parse().ok()?;
        Some(Self {
            ident: Ident { pid, start },
            parent,
            group,
            ended: matches!(state, "Z" | "X" | "x"),
        })
    }
}

/// All processes that can be seen.
fn all() -> impl Iterator<Item = Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Stat::of(entry.file_name().to_str()?.parse().ok()?))
}

/// Whether a process was started with a variable.
fn bears(ident: Ident, variable: &[u8]) -> bool {
    // What belongs to somebody else can't be read, and is none of ours.
    let environment = fs::read(format!("/proc/{}/environ", ident.pid)).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|v| v == variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) b (c)) S 3 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9999 1 2";
        let stat = Stat::parse(7, text).unwrap();
        assert_eq!((stat.parent, stat.group), (3, 5));
        assert_eq!(
            stat.ident,
            Ident {
                pid: 7,
                start: 9999
            }
        );
        assert!(!stat.ended);
        assert!(Stat::parse(7, "7 (a) S 3").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_with_another_start_time_is_not_the_one_and_gets_no_signal() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let ident = Ident::of(pid).unwrap();
        let other = Ident {
            start: ident.start + 1,
            ..ident
        };
        assert!(ident.is_alive() && !other.is_alive());
        other.signal(Signal::KILL);
        assert!(child.try_wait().unwrap().is_none(), "it was not meant");
        ident.signal(Signal::KILL);
        child.wait().unwrap();
        assert!(!ident.is_alive());
    }
}

//! A child on Unix: the leader of a process group of its own, ended by signals.

use std::io;

use rustix::process::{Pid, Signal as UnixSignal, kill_process_group};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::{
    super::{
        descendants::{CHILD_ENV, Descendants, child_mark},
        orphans::Record,
    },
    signal::Signal,
};
use crate::error::SpawnError;

pub use super::super::orphans::Registry;

pub(super) type Child = tokio::process::Child;

/// A child and the processes that it has started.
#[derive(Debug)]
pub(super) struct Tree {
    /// `None` once no process is left.
    group: Option<Pid>,
    descendants: Descendants,
    /// Deleted when no process is left.
    record: Option<Record>,
}

/// Starts a child in a process group of its own.
pub(super) fn spawn(mut command: Command) -> io::Result<(Child, Tree)> {
    let mark = child_mark();
    command
        .env(CHILD_ENV, &mark)
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn()?;
    let pid = child.id();
    let group = pid.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let tree = Tree {
        group,
        descendants: Descendants::of_child(group, mark),
        record: None,
    };
    Ok((child, tree))
}

/// This process's ends of the child's pipes; `None` after the first call.
pub(super) fn pipes(
    child: &mut Child,
) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
    (child.stdin.take(), child.stdout.take(), child.stderr.take())
}

impl Tree {
    pub(super) fn register(&mut self, registry: &Registry) -> Result<(), SpawnError> {
        self.record = Some(registry.record(&self.descendants)?);
        Ok(())
    }

    /// Nothing to note: the group keeps its number until the last process of the group has ended.
    #[expect(clippy::unused_self, reason = "Windows has to note it")]
    pub(super) fn leader_ended(&mut self) {}

    /// Looks for the processes that run now.
    pub(super) fn refresh(&mut self) {
        if self.group.is_some() {
            self.descendants.refresh();
        }
    }

    /// Whether a process other than the child ran at the last refresh.
    pub(super) fn has_descendants(&self) -> bool {
        self.descendants.any_alive()
    }

    #[cfg(feature = "ws")]
    pub(super) fn includes(&self, pid: u32) -> bool {
        self.descendants.includes(pid)
    }

    /// Sends a signal to the group at once, and to each process that has left the group.
    pub(super) fn signal(&mut self, _: &mut Child, signal: Signal) -> bool {
        self.send(match signal {
            Signal::Interrupt => UnixSignal::INT,
            Signal::Hangup => UnixSignal::HUP,
            Signal::Terminate => UnixSignal::TERM,
            Signal::Kill => UnixSignal::KILL,
        });
        true
    }

    fn send(&mut self, signal: UnixSignal) {
        if let Some(group) = self.group {
            self.descendants.refresh();
            // Fails if no process of the group is left, which is the goal.
            let _ = kill_process_group(group, signal);
            self.descendants.signal_outside(group, signal);
        }
    }

    pub(super) fn kill_all(&mut self, _: &mut Child) {
        // The group's number can't be given out again while a member lives. If none does, this runs
        // right after the leader's end, so no other group can have the number yet.
        for _ in 0..ROUNDS {
            let before = self.descendants.seen();
            self.send(UnixSignal::KILL);
            if self.descendants.seen() == before {
                break;
            }
        }
    }

    /// Forgets the process numbers, which may belong to other processes from now on.
    pub(super) fn release(&mut self) {
        if let Some(group) = self.group.take() {
            // If processes can't be listed, this is all there is.
            let _ = kill_process_group(group, UnixSignal::KILL);
        }
        self.record = None;
    }
}

/// How often to repeat the kill because it found a process that was not known before.
const ROUNDS: usize = 8;

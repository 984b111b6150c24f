//! A child on Windows: in a job that ends when this process does, however this process ends.
//!
//! The child is created suspended and resumed in the job, so nothing that it starts is outside the
//! job. There are no signals, and no Ctrl-Break either: the child has a console of its own without
//! a window, and Windows sends Ctrl-Break only to processes that share the sender's console.

use std::{
    io,
    os::windows::io::RawHandle,
    path::Path,
    process::ExitStatus,
    sync::{Arc, OnceLock},
    time::Duration,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, CommandWrapper, JobObject, KillOnDrop};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use win32job::{ExtendedLimitInfo, Job};

use super::signal::Signal;
use crate::error::SpawnError;

/// The flags of `CreateProcess`, by the names and values that Windows documents.
const CREATE_SUSPENDED: u32 = 0x0000_0004;
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
pub(super) const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// The leader of a job.
#[derive(Debug)]
pub(super) struct Child(Box<dyn ChildWrapper>);

impl Child {
    pub(super) fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// Waits for the leader alone, however long other processes of the job live. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        // NB. One layer below the job, whose own `wait` waits for every process in it.
        self.0.inner_mut().wait().await
    }
}

/// A child and its descendants: every process in its job.
#[derive(Debug)]
pub(super) struct Tree {
    /// `None` once no process is left. Closing the job ends every process in it.
    job: Option<Job>,
    leader: Option<u32>,
    leader_ended: bool,
    /// Whether a process other than the leader ran at the last refresh.
    has_descendants: bool,
}

/// Puts the suspended child into a job that this process can list.
///
/// NB. The job of `process-wrap` comes second, so it is nested in this one. That job can be
/// terminated but not listed; this one can be listed but not terminated. Closing either job ends
/// the processes in it.
#[derive(Debug)]
struct InJob(Arc<OnceLock<Job>>);

impl CommandWrapper for InJob {
    fn pre_spawn(&mut self, command: &mut Command, _: &CommandWrap) -> io::Result<()> {
        // NB. `JobObject` has set its own flags, without these, and resumes the child.
        command.creation_flags(CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW);
        Ok(())
    }

    fn post_spawn(
        &mut self,
        _: &mut Command,
        child: &mut tokio::process::Child,
        _: &CommandWrap,
    ) -> io::Result<()> {
        let Some(handle) = child.raw_handle() else {
            return Err(io::Error::other("it has ended before it ran"));
        };
        let mut limits = ExtendedLimitInfo::new();
        limits.limit_kill_on_job_close();
        let job = Job::create_with_limit_info(&limits)?;
        job.assign_process(number(handle))?;
        let _ = self.0.set(job);
        Ok(())
    }
}

fn number(handle: RawHandle) -> isize {
    handle.addr().cast_signed()
}

/// Starts a child in a job of its own, without a window.
pub(super) fn spawn(command: Command) -> io::Result<(Child, Tree)> {
    let job = Arc::new(OnceLock::new());
    let mut command = CommandWrap::from(command);
    command
        .wrap(KillOnDrop)
        .wrap(JobObject)
        .wrap(InJob(job.clone()));
    let child = Child(command.spawn()?);
    drop(command); // It has the other reference.
    let tree = Tree {
        leader: child.id(),
        job: Arc::into_inner(job).and_then(OnceLock::into_inner),
        leader_ended: false,
        has_descendants: false,
    };
    Ok((child, tree))
}

/// This process's ends of the child's pipes; `None` after the first call.
pub(super) fn pipes(
    child: &mut Child,
) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
    let child = &mut child.0;
    (
        child.stdin().take(),
        child.stdout().take(),
        child.stderr().take(),
    )
}

impl Tree {
    /// The job ends with this process, so there is nothing to record.
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "Unix writes a record"
    )]
    pub(super) fn register(&mut self, _: &Registry) -> Result<(), SpawnError> {
        Ok(())
    }

    pub(super) fn leader_ended(&mut self) {
        self.leader_ended = true;
    }

    /// Looks for the processes that run now.
    pub(super) fn refresh(&mut self) {
        let Some(job) = &self.job else {
            self.has_descendants = false;
            return;
        };
        let leader = self.leader.filter(|_| !self.leader_ended);
        let is_leader = |pid: usize| leader.is_some_and(|leader| leader as usize == pid);
        // Fails if there are more than a thousand processes.
        self.has_descendants = job
            .query_process_id_list()
            .map_or(true, |all| all.into_iter().any(|pid| !is_leader(pid)));
    }

    /// Whether a process other than the leader ran at the last refresh.
    pub(super) fn has_descendants(&self) -> bool {
        self.has_descendants
    }

    /// Ends the job on [`Signal::Kill`]. Windows has no other signal.
    pub(super) fn signal(&mut self, child: &mut Child, signal: Signal) -> bool {
        if signal != Signal::Kill {
            return false;
        }
        self.kill_all(child);
        true
    }

    pub(super) fn kill_all(&mut self, child: &mut Child) {
        if self.job.is_some() {
            // Fails if no process of the job is left, which is the goal.
            let _ = child.0.start_kill();
        }
    }

    /// Closes the job, which ends the processes that are left in it.
    pub(super) fn release(&mut self) {
        self.job = None;
    }
}

/// Records nothing: Windows closes the jobs of a killed host, which ends the processes in them.
#[derive(Debug)]
pub struct Registry;

impl Registry {
    #[expect(clippy::unused_async, reason = "Unix waits for orphans to end")]
    /// Accepts any directory and leaves it alone.
    ///
    /// # Errors
    /// None.
    pub async fn open(_: &Path, _: Duration) -> Result<Self, SpawnError> {
        Ok(Self)
    }
}

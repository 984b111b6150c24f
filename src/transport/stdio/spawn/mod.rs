//! A running child: started apart from this process, and ended for certain, with everything that it
//! has started.
//!
//! The means depend on the platform: a process group and signals on Unix, a job on Windows. Each
//! platform has a module with the same `Child`, `Tree`, `Registry` and `spawn`.

mod gatekeeper;
mod launch;
mod signal;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

use std::{
    any::Any,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

use self::platform::{Child, Tree};
use super::stderr::Tail;
use crate::error::SpawnError;

pub use {
    launch::{CONNECT_TOKEN, Launch},
    platform::Registry,
    signal::Signal,
};

/// A running child: the leader of a process group of its own, or of a job.
///
/// Dropping it kills at once everything that the child has started; [`stop`](Self::stop) is the
/// gentle way.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    child: Child,
    pid: Option<u32>,
    tree: Tree,
    /// What belongs to a child that listens on a socket. Dropped when no process of the child is
    /// left.
    listener: Option<Box<dyn Any + Send + Sync>>,
    pub(crate) stderr: Arc<Tail>,
}

/// This process's ends of a child's pipes.
#[derive(Debug)]
pub struct Pipes {
    /// The child's standard input.
    pub stdin: ChildStdin,
    /// The child's standard output.
    pub stdout: ChildStdout,
    /// The child's standard error.
    pub stderr: ChildStderr,
}

impl Process {
    /// Starts `program` as `launch` says.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn spawn(program: &Path, launch: &Launch) -> Result<(Self, Pipes), SpawnError> {
        let mut command = Command::new(program);
        command
            .args(&launch.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if launch.env_clear {
            command.env_clear();
        }
        for (name, value) in &launch.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(cwd) = &launch.cwd {
            command.current_dir(cwd);
        }
        let failed = |source: io::Error| SpawnError::Io {
            program: program.to_owned(),
            source: Arc::new(gatekeeper::explain_start(program, source)),
        };
        let (mut child, tree) = platform::spawn(command).map_err(|e| match &launch.cwd {
            // The operating system reports a missing working directory in the same words as a
            // missing program.
            Some(cwd) if !cwd.is_dir() => failed(io::Error::new(
                e.kind(),
                format!("its working directory {} is not there", cwd.display()),
            )),
            _ => failed(e),
        })?;
        let pipes = platform::pipes(&mut child);
        let process = Self {
            program: program.to_owned(),
            pid: child.id(),
            child,
            tree,
            listener: None,
            stderr: Arc::default(),
        };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(io::Error::other("its pipes are missing")));
        };
        let pipes = Pipes {
            stdin,
            stdout,
            stderr,
        };
        Ok((process, pipes))
    }

    /// The child's process number.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.pid
    }

    /// Records the child, so that the next start can end it if this process is killed.
    ///
    /// # Errors
    /// If the record can't be written.
    pub fn register(&mut self, registry: &Registry) -> Result<(), SpawnError> {
        self.tree.register(registry)
    }

    /// Declares that the child listens on a socket, so that the end of its input does not end it.
    /// `belongings` are dropped when no process of the child is left.
    #[cfg(all(unix, feature = "ws"))]
    pub(crate) fn listens(&mut self, belongings: impl Any + Send + Sync) {
        self.listener = Some(Box::new(belongings));
    }

    /// Whether `pid` is the child, or a descendant of it.
    #[cfg(all(unix, feature = "ws"))]
    pub(crate) fn includes(&mut self, pid: u32) -> bool {
        self.tree.refresh();
        self.pid == Some(pid) || self.tree.includes(pid)
    }

    /// Waits for the child itself to end. Cancel safe.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        let status = self.child.wait().await.ok();
        self.tree.leader_ended();
        status
    }

    /// Looks for the processes that the child has started so far. A process that is found by its
    /// parent can't be found any more once that parent has ended.
    pub(crate) fn refresh(&mut self) {
        self.tree.refresh();
    }

    /// Adds to the stderr tail why the operating system itself may have killed the child, which
    /// macOS does silently.
    pub(crate) fn note_refusal(&self, status: Option<ExitStatus>) {
        if let Some(reason) = status.and_then(|s| gatekeeper::explain_end(&self.program, s)) {
            self.stderr.push(reason.as_bytes());
        }
    }

    /// Ends the child once its input is closed: waits `grace`, sends SIGTERM, waits `grace`, sends
    /// SIGKILL, waits `grace`. Then ends the processes that the child has left behind. Windows has
    /// no SIGTERM, so that step is missing there. A child that listens on a socket does not exit at
    /// the end of its input, and gets SIGTERM at once.
    ///
    /// Also returns whether the child ended before it was sent a signal.
    pub async fn stop(&mut self, grace: Duration) -> (Option<ExitStatus>, bool) {
        let ends_with_its_input = self.listener.is_none();
        self.stop_after(ends_with_its_input, grace).await
    }

    /// Same as [`stop`](Self::stop), for a child whose connection has ended. Such a child may be
    /// about to exit, even if it listens on a socket.
    pub(crate) async fn stop_ending(&mut self, grace: Duration) -> (Option<ExitStatus>, bool) {
        self.stop_after(true, grace).await
    }

    async fn stop_after(&mut self, pause: bool, grace: Duration) -> (Option<ExitStatus>, bool) {
        let mut status = None;
        if pause {
            status = timeout(grace, self.wait()).await.ok().flatten();
        }
        let by_itself = status.is_some();
        for signal in [Signal::Terminate, Signal::Kill] {
            if status.is_some() {
                break;
            }
            if self.signal(signal) {
                status = timeout(grace, self.wait()).await.ok().flatten();
            }
        }
        if by_itself {
            self.end_rest(grace).await;
        } else {
            self.tree.kill_all(&mut self.child); // The rest has had its SIGTERM.
            self.descendants_ended(grace).await;
            self.release();
        }
        (status, by_itself)
    }

    /// Ends the processes that the child has left behind: SIGTERM, then SIGKILL after `grace`.
    pub(crate) async fn end_rest(&mut self, grace: Duration) {
        self.tree.refresh();
        if self.tree.has_descendants() {
            if self.signal(Signal::Terminate) {
                self.descendants_ended(grace).await;
            }
            self.tree.kill_all(&mut self.child);
            self.descendants_ended(grace).await;
        }
        self.release();
    }

    /// Waits at most `grace` until nothing but the child is left.
    async fn descendants_ended(&mut self, grace: Duration) {
        let ended = async {
            self.tree.refresh();
            while self.tree.has_descendants() {
                sleep(POLL).await;
                self.tree.refresh();
            }
        };
        let _ = timeout(grace, ended).await;
    }

    /// Sends a signal to everything that the child started. Returns whether the platform has this
    /// signal.
    pub fn signal(&mut self, signal: Signal) -> bool {
        self.tree.signal(&mut self.child, signal)
    }

    /// Kills the processes that are left, once.
    pub fn kill_rest(&mut self) {
        self.tree.kill_all(&mut self.child);
        self.release();
    }

    /// Forgets the process numbers, which may belong to other processes from now on.
    fn release(&mut self) {
        self.tree.release();
        self.listener = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The runtime is shutting down, or a start was cancelled: there is no time for a gentle
        // stop. The child's own drop reaps it.
        self.kill_rest();
    }
}

/// Keeps a console program from opening a window on Windows.
pub(crate) fn without_window(command: &mut Command) -> &mut Command {
    #[cfg(windows)]
    command.creation_flags(windows::CREATE_NO_WINDOW);
    command
}

/// How often to check whether the processes that were told to end have ended.
const POLL: Duration = Duration::from_millis(10);

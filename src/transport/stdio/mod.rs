//! The child process: starting it in a process group of its own, and ending it for certain, with all that it started.

mod colours;
mod find;
mod kin;
mod npm;
mod registry;
mod tail;

use std::{
    any::Any,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

use self::{
    kin::{Kin, MARK},
    registry::Entry,
};
use crate::error::SpawnError;

pub use find::find_codex;
pub(crate) use find::find_codex_for;
pub use registry::Registry;
pub(crate) use tail::Tail;

/// What to start and how.
#[derive(Clone)]
pub struct Launch {
    /// The executable; `None` looks for `codex` on the search path.
    pub codex: Option<PathBuf>,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working directory; `None` is this process's.
    pub cwd: Option<PathBuf>,
    /// Whether it gets only the variables in `env`.
    pub env_clear: bool,
    /// Variables to set; `None` removes one.
    pub env: Vec<(OsString, Option<OsString>)>,
}

impl Launch {
    /// The search path that the child gets.
    pub(crate) fn path(&self) -> Option<OsString> {
        let set = self.env.iter().rev().find(|(name, _)| name == "PATH");
        match set {
            Some((_, value)) => value.clone(),
            None if self.env_clear => None,
            None => std::env::var_os("PATH"),
        }
    }
}

impl fmt::Debug for Launch {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of variables and of `-c key=value` may be secrets.
        let env: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch")
            .field("codex", &self.codex)
            .field("args", &self.args.len())
            .field("cwd", &self.cwd)
            .field("env_clear", &self.env_clear)
            .field("env", &env)
            .finish()
    }
}

/// A running child, the leader of its own process group.
///
/// Dropping it kills all that it started at once; [`stop`](Self::stop) is the polite way.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Option<u32>,
    /// `None` once nothing is left of it.
    group: Option<Pid>,
    kin: Kin,
    /// Its place in the registry, given back when nothing is left.
    entry: Option<Entry>,
    /// What else is there because it listens on a socket, given back when nothing is left.
    listener: Option<Box<dyn Any + Send + Sync>>,
    pub(crate) stderr: Arc<Tail>,
}

/// The ends of a child's pipes.
#[derive(Debug)]
pub struct Pipes {
    /// Its standard input.
    pub stdin: ChildStdin,
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
}

impl Process {
    /// Starts `codex app-server` (or what `launch` says).
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn spawn(program: &Path, launch: &Launch) -> Result<(Self, Pipes), SpawnError> {
        let mark = kin::mark();
        let mut command = Command::new(program);
        command
            .args(&launch.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if launch.env_clear {
            command.env_clear();
        }
        for (name, value) in &launch.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env(MARK, &mark);
        if let Some(cwd) = &launch.cwd {
            command.current_dir(cwd);
        }
        let failed = |source: std::io::Error| SpawnError::Io {
            program: program.to_owned(),
            source: Arc::new(source),
        };
        let mut child = command.spawn().map_err(|e| match &launch.cwd {
            // The operating system says "not found" of the working directory in the same words as of the program.
            Some(cwd) if !cwd.is_dir() => failed(std::io::Error::new(
                e.kind(),
                format!("its working directory {} is not there", cwd.display()),
            )),
            _ => failed(e),
        })?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pid = child.id();
        let group = pid.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let process = Self {
            child,
            pid,
            group,
            kin: Kin::new(group, mark),
            entry: None,
            listener: None,
            stderr: Arc::default(),
        };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(std::io::Error::other("its pipes are missing")));
        };
        let pipes = Pipes {
            stdin,
            stdout,
            stderr,
        };
        Ok((process, pipes))
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.pid
    }

    /// Puts it on record, for the next start of a host that is killed.
    ///
    /// # Errors
    /// If the record can't be written.
    pub fn register(&mut self, registry: &Registry) -> Result<(), SpawnError> {
        self.entry = Some(registry.enter(&self.kin)?);
        Ok(())
    }

    /// From now on it is a server that listens on a socket, so the end of its input does not end it. What belongs to it
    /// is dropped when nothing of it is left.
    #[cfg(feature = "ws")]
    pub(crate) fn listens(&mut self, belongings: impl Any + Send + Sync) {
        self.listener = Some(Box::new(belongings));
    }

    /// Whether a process is this one, or one that it has started.
    #[cfg(feature = "ws")]
    pub(crate) fn includes(&mut self, pid: u32) -> bool {
        self.look();
        self.pid == Some(pid) || self.kin.includes(pid)
    }

    /// Waits for the leader to end. Cancel safe.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    /// Takes note of what it has started so far, for what is found by its parent can't be found when that has ended.
    pub(crate) fn look(&mut self) {
        if self.group.is_some() {
            self.kin.look();
        }
    }

    /// The stop ladder, after stdin was closed: grace, SIGTERM, grace, SIGKILL, grace, the signals to all that it
    /// started. What the leader leaves behind is ended too. Also tells whether the leader went without a signal from
    /// here. A server that listens on a socket does not mind the end of its input, so it gets SIGTERM at once.
    pub async fn stop(&mut self, grace: Duration) -> (Option<ExitStatus>, bool) {
        let goes_by_itself = self.listener.is_none();
        self.climb(grace, goes_by_itself).await
    }

    /// As [`stop`](Self::stop), for one whose connection has ended: it may be about to end, whatever it listens on.
    pub(crate) async fn stop_ending(&mut self, grace: Duration) -> (Option<ExitStatus>, bool) {
        self.climb(grace, true).await
    }

    async fn climb(&mut self, grace: Duration, may_go: bool) -> (Option<ExitStatus>, bool) {
        let mut status = None;
        if may_go {
            status = timeout(grace, self.wait()).await.ok().flatten();
        }
        let by_itself = status.is_some();
        for signal in [Signal::TERM, Signal::KILL] {
            if status.is_some() {
                break;
            }
            self.signal(signal);
            status = timeout(grace, self.wait()).await.ok().flatten();
        }
        if by_itself {
            self.end_rest(grace).await;
        } else {
            self.kill_all(); // It has had its SIGTERM.
            self.gone(grace).await;
            self.let_go();
        }
        (status, by_itself)
    }

    /// Ends what the leader has left behind: SIGTERM, and if it does not go within `grace`, SIGKILL.
    pub(crate) async fn end_rest(&mut self, grace: Duration) {
        self.look();
        if self.kin.is_alive() {
            self.signal(Signal::TERM);
            self.gone(grace).await;
            self.kill_all();
            self.gone(grace).await;
        }
        self.let_go();
    }

    /// Waits until nothing is left but the leader, for at most so long.
    async fn gone(&mut self, grace: Duration) {
        let gone = async {
            self.look();
            while self.kin.is_alive() {
                sleep(POLL).await;
                self.look();
            }
        };
        let _ = timeout(grace, gone).await;
    }

    /// Sends a signal to all that it started: the group at once, and each one that has left it.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(group) = self.group {
            self.kin.look();
            // It fails if nothing of the group is left, and that is what is wanted.
            let _ = kill_process_group(group, signal);
            self.kin.signal_outside(group, signal);
        }
    }

    /// Kills what is left, once.
    pub fn kill_rest(&mut self) {
        self.kill_all();
        self.let_go();
    }

    fn kill_all(&mut self) {
        // The group's number can't be given out again while a member lives; if none does, this is at once after the
        // leader's end, so nobody else can have it yet.
        for _ in 0..ROUNDS {
            let before = self.kin.len();
            self.signal(Signal::KILL);
            if self.kin.len() == before {
                break;
            }
        }
    }

    /// Nothing is left that could be ended; from now on its numbers may be others'.
    fn let_go(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL); // Where there is no `/proc`, this is all there is.
        }
        self.entry = None;
        self.listener = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The runtime is going down, or a start was cancelled: no time for manners. `kill_on_drop` reaps the leader.
        self.kill_rest();
    }
}

/// How often it is looked whether what was told to go has gone.
const POLL: Duration = Duration::from_millis(10);

/// How often killing is repeated because something was found that was not known before.
const ROUNDS: usize = 8;

//! The child process: finding codex, starting it in a process group of its own, and ending it for certain.

use std::{
    collections::VecDeque,
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::error::SpawnError;

/// What to start and how.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) codex: Option<PathBuf>,
    pub(crate) args: Vec<OsString>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) env_clear: bool,
    /// `None` removes the variable.
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
}

/// Finds the codex executable: the one named, else `$CAS_CODEX`, else `codex` on `$PATH`.
///
/// # Errors
/// [`SpawnError::NotFound`] with every place that was looked at.
pub fn find_codex(explicit: Option<&Path>) -> Result<PathBuf, SpawnError> {
    find_codex_in(
        explicit,
        env::var_os("CAS_CODEX"),
        env::var_os("PATH").as_deref(),
    )
}

fn find_codex_in(
    explicit: Option<&Path>,
    named: Option<OsString>,
    path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    let cwd = env::current_dir().unwrap_or_default();
    let find = |name: &OsStr| which::which_in(name, path, &cwd);
    // A place that names a codex which isn't there is a mistake to be told, not a reason to look further.
    let (explicit, variable, on_path) = match (explicit, named.filter(|n| !n.is_empty())) {
        (Some(program), _) => match find(program.as_os_str()) {
            Ok(found) => return Ok(found),
            Err(e) => (
                format!("{}: {e}", program.display()),
                "not looked at".to_owned(),
                "not looked at",
            ),
        },
        (None, Some(program)) => match find(&program) {
            Ok(found) => return Ok(found),
            Err(e) => (
                "not given".to_owned(),
                format!("{}: {e}", Path::new(&program).display()),
                "not looked at",
            ),
        },
        (None, None) => match find(OsStr::new("codex")) {
            Ok(found) => return Ok(found),
            Err(_) => (
                "not given".to_owned(),
                "not set".to_owned(),
                "no `codex` in it",
            ),
        },
    };
    let looked = vec![
        format!("the builder's `codex`: {explicit}"),
        format!("$CAS_CODEX: {variable}"),
        format!("$PATH: {on_path}"),
    ];
    Err(SpawnError::NotFound { looked })
}

/// A running child, the leader of its own process group.
///
/// Dropping it kills the whole group at once; [`stop`](Self::stop) is the polite way.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    pub(crate) stderr: Arc<Tail>,
}

/// The ends of a child's pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Process {
    /// Starts `codex app-server` (or what `launch` says).
    pub(crate) fn spawn(program: &Path, launch: &Launch) -> Result<(Self, Pipes), SpawnError> {
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
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pipes = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => {
                widen(&stdout);
                Pipes {
                    stdin,
                    stdout,
                    stderr,
                }
            }
            _ => return Err(failed(std::io::Error::other("its pipes are missing"))),
        };
        Ok((
            Self {
                child,
                group,
                stderr: Arc::default(),
            },
            pipes,
        ))
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.group.and_then(|p| u32::try_from(p.as_raw_pid()).ok())
    }

    /// Waits for the leader to end. Cancel safe.
    pub(crate) async fn wait(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    /// The stop ladder, after stdin was closed: grace, SIGTERM, grace, SIGKILL, the signals to the whole group. Each
    /// rung takes at most `grace`. What is left of the group when the leader is gone is killed. Also tells whether the
    /// leader went without a signal from here.
    pub(crate) async fn stop(&mut self, grace: Duration) -> (Option<ExitStatus>, bool) {
        let mut status = timeout(grace, self.wait()).await.ok().flatten();
        let by_itself = status.is_some();
        for signal in [Signal::TERM, Signal::KILL] {
            if status.is_some() {
                break;
            }
            self.signal(signal);
            status = timeout(grace, self.wait()).await.ok().flatten();
        }
        self.kill_rest();
        (status, by_itself)
    }

    /// Sends a signal to the whole group.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails if nothing of the group is left, and that is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Kills what the leader has left behind in its group, once.
    pub(crate) fn kill_rest(&mut self) {
        // The group's number can't be given out again while a member lives; if none does, this is at once after the
        // leader's end, so nobody else can have it yet.
        self.signal(Signal::KILL);
        self.group = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The runtime is going down, or a start was cancelled: no time for manners. `kill_on_drop` reaps the leader.
        self.kill_rest();
    }
}

/// How much the server's output pipe should hold: a busy server then fills it in fewer, larger reads, each with one
/// wake-up.
const PIPE: usize = 256 * 1024;

#[cfg(target_os = "linux")]
fn widen(stdout: &ChildStdout) {
    // Refused where the user has too many wide pipes already; the default of 64 KiB serves as well.
    let _ = rustix::pipe::fcntl_setpipe_size(stdout, PIPE);
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &ChildStdout) {}

/// The last of what the child wrote to stderr.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<VecDeque<u8>>);

impl Tail {
    const KEEP: usize = 64 * 1024;

    /// Drains stderr until its end, whatever bytes it holds, and traces it line by line.
    pub(crate) async fn drain<R: AsyncRead + Unpin>(&self, mut stderr: R) {
        let mut buf = vec![0; 8 * 1024];
        let mut line = Vec::new();
        while let Ok(n @ 1..) = stderr.read(&mut buf).await {
            self.push(&buf[..n]);
            if tracing::enabled!(target: "cas_sdk::stderr", tracing::Level::DEBUG) {
                for part in buf[..n].split_inclusive(|b| *b == b'\n') {
                    line.extend_from_slice(part);
                    if part.ends_with(b"\n") || line.len() > Self::KEEP {
                        tracing::debug!(target: "cas_sdk::stderr", "{}", String::from_utf8_lossy(&line).trim_end());
                        line.clear();
                    }
                }
            }
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(&bytes[bytes.len().saturating_sub(Self::KEEP)..]);
        let excess = tail.len().saturating_sub(Self::KEEP);
        tail.drain(..excess);
    }

    pub(crate) fn text(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (a, b) = tail.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_codex_anywhere_the_error_names_the_three_places_and_the_remedy() {
        let error = find_codex_in(None, None, Some(OsStr::new("/nowhere")))
            .unwrap_err()
            .to_string();
        for part in [
            "the builder's `codex`",
            "$CAS_CODEX",
            "$PATH",
            "npm install -g @openai/codex",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_codex_that_was_named_but_is_not_there_is_not_replaced_by_another() {
        let path = Some(OsStr::new("/bin:/usr/bin"));
        assert!(find_codex_in(Some(Path::new("sh")), None, path).is_ok());
        assert!(find_codex_in(None, Some("/bin/sh".into()), path).is_ok());
        let error = find_codex_in(
            Some(Path::new("/no/such/codex")),
            Some("/bin/sh".into()),
            path,
        )
        .unwrap_err();
        assert!(error.to_string().contains("/no/such/codex"), "{error}");
    }

    #[tokio::test]
    async fn the_tail_keeps_the_end_of_a_long_stderr_without_newlines() {
        let tail = Tail::default();
        let text = [b"x".repeat(200_000).as_slice(), b"\xff the end"].concat();
        tail.drain(&text[..]).await;
        assert_eq!(tail.text().len(), Tail::KEEP + "\u{fffd}".len() - 1);
        assert!(tail.text().ends_with("\u{fffd} the end"));
    }
}

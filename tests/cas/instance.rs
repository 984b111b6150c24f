//! A running `cas proxy` and the pipes to it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::fake;

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Instance {
    pub child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<String>,
    pub dir: TempDir,
}

impl Instance {
    /// With the fake app-server, in a directory of its own.
    pub fn fake(flags: &[&str]) -> Self {
        Self::start("", flags, &[])
    }

    /// With shell code before the fake, and environment variables for it.
    pub fn start(prelude: &str, flags: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let codex = fake::executable(dir.path(), prelude);
        let mut command = command(&codex, dir.path());
        command.args(flags).envs(env.iter().copied());
        Self::run(command, dir)
    }

    pub fn run(mut command: Command, dir: TempDir) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (tx, events) = mpsc::sync_channel(100_000);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if tx.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            events,
            dir,
        }
    }

    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next event as it was written; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        match self.events.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no event within {PATIENCE:?}"),
        }
    }

    /// The next event that `wanted` takes.
    pub fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.line() {
            let event = serde_json::from_str(&line).unwrap();
            if wanted(&event) {
                return event;
            }
        }
        panic!("the events ended without the one that was waited for");
    }

    pub fn ready(&mut self) -> Value {
        self.event(|e| e["type"] == "cas/ready")
    }

    /// The rest of the events.
    pub fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.line())
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    }

    pub fn wait(&mut self) -> ExitStatus {
        for _ in 0..3_000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }

    #[cfg(unix)]
    #[allow(dead_code, reason = "not every test binary sends one")]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal)
            .unwrap();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; without its proxy the fake ends too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `cas proxy` with a codex and a state file, in a directory.
pub fn command(codex: &Path, dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command.arg("proxy").arg("--codex").arg(codex);
    command
        .arg("--cwd")
        .arg(dir)
        .arg("--state-file")
        .arg(dir.join("state.json"))
        .arg("--registry")
        .arg(dir.join("registry"));
    command
}

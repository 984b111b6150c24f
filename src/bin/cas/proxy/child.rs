//! The app-server: its pipes, its end, and, if it was started here, the signals that end it.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use cas_sdk::internal::{Pipes, Process, Signal};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    process::ChildStderr,
};

use super::pipes::Input;

pub(super) type FromServer = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type ToServer = Box<dyn AsyncWrite + Send + Unpin>;

/// The longest line that is read. Far above anything seen; a limit is required.
pub(super) const MAX_LINE: usize = 1024 * 1024 * 1024;
/// The longest line of its stderr, which nothing depends on.
const MAX_STDERR_LINE: usize = 1024 * 1024;
/// How long output that is already in a pipe may take to arrive after the child has ended.
const DRAIN: Duration = Duration::from_millis(500);

pub(super) struct Child {
    /// `None` for a joined server, which is not ended.
    process: Option<Process>,
    pub(super) stdin: Option<ToServer>,
    pub(super) stdout: Option<Input<FromServer>>,
    pub(super) stderr: Option<Input<ChildStderr>>,
    pub(super) status: Option<ExitStatus>,
    /// When it ended, and until when to wait for what it left in the pipes.
    pub(super) drained_by: Option<Instant>,
    /// The next signal for a child that is to end.
    ladder: Option<(Instant, Signal)>,
    /// How long each signal is given.
    kill_timeout: Duration,
}

impl Child {
    pub(super) fn new(process: Process, pipes: Pipes, kill_timeout: Duration) -> Self {
        Self {
            process: Some(process),
            stdin: Some(Box::new(pipes.stdin)),
            stdout: Some(Input::new(Box::new(pipes.stdout), MAX_LINE)),
            stderr: Some(Input::with_empty_lines(pipes.stderr, MAX_STDERR_LINE)),
            status: None,
            drained_by: None,
            ladder: None,
            kill_timeout,
        }
    }

    /// A server that runs already, by its connection.
    pub(super) fn joined((from, to): (FromServer, ToServer), kill_timeout: Duration) -> Self {
        Self {
            process: None,
            stdin: Some(to),
            stdout: Some(Input::new(from, MAX_LINE)),
            stderr: None,
            status: None,
            drained_by: None,
            ladder: None,
            kill_timeout,
        }
    }

    /// Its end as a process; a connection has none. Cancel safe.
    pub(super) async fn exit(process: &mut Option<Process>) -> Option<ExitStatus> {
        match process {
            Some(process) => process.wait().await,
            None => std::future::pending().await,
        }
    }

    /// The parts that a step of the loop waits for.
    pub(super) fn parts(&mut self) -> Parts<'_> {
        Parts {
            process: &mut self.process,
            stdin: &mut self.stdin,
            stdout: &mut self.stdout,
            stderr: &mut self.stderr,
            has_ended: self.drained_by.is_some(),
        }
    }

    /// Ends what it has started and left behind.
    pub(super) fn kill_rest(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill_rest();
        }
    }

    /// Gives it the kill timeout to end by itself, unless that has begun already; then come the
    /// signals.
    pub(super) fn expect_end(&mut self, now: Instant) {
        if self.process.is_none() {
            return self.ended(None, now);
        }
        self.ladder
            .get_or_insert((now + self.kill_timeout, Signal::Terminate));
    }

    /// Gives it the whole kill timeout to end, whatever it was given before.
    pub(super) fn wind_up(&mut self, now: Instant) {
        self.ladder = Some((now + self.kill_timeout, Signal::Terminate));
    }

    /// There is nothing left to wait for before the first signal.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some((at, Signal::Terminate)) = &mut self.ladder {
            *at = now;
        }
    }

    /// Sends a signal that ends the child, and SIGKILL after the kill time-out.
    pub(super) fn signal(&mut self, now: Instant, signal: Signal) {
        if self.drained_by.is_none() {
            self.send(signal, now);
            self.ladder
                .get_or_insert((now + self.kill_timeout, Signal::Kill));
        }
    }

    /// Sends the signal that is due.
    pub(super) fn climb(&mut self, now: Instant) {
        if let Some((at, signal)) = self.ladder
            && at <= now
            && self.drained_by.is_none()
        {
            self.send(signal, now);
            self.ladder =
                (signal != Signal::Kill).then_some((now + self.kill_timeout, Signal::Kill));
        }
    }

    fn send(&mut self, signal: Signal, now: Instant) {
        let Some(process) = &mut self.process else {
            // The server is others', too, and goes on.
            return self.ended(None, now);
        };
        if !process.signal(signal) {
            self.stdin = None; // Windows has no signals: the end of its input is all that can tell it.
        }
    }

    /// When the next signal is due, or when no more output is waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.drained_by.or(self.ladder.map(|(at, _)| at))
    }

    /// Ends it, which takes as long as its timeouts allow.
    pub(super) async fn stop(&mut self) {
        self.stdin = None;
        if let Some(process) = &mut self.process {
            process.stop(self.kill_timeout).await;
        }
    }

    /// Nothing more is sent to it; its output is still read.
    pub(super) fn ended(&mut self, status: Option<ExitStatus>, now: Instant) {
        self.status = status;
        self.drained_by = Some(now + DRAIN);
        self.stdin = None;
    }

    /// It has ended, and all of its output was read.
    pub(super) fn is_over(&self) -> bool {
        self.drained_by.is_some_and(|by| {
            (self.stdout.is_none() && self.stderr.is_none()) || by <= Instant::now()
        })
    }
}

/// The parts of a [`Child`] that are waited for together.
pub(super) struct Parts<'a> {
    pub(super) process: &'a mut Option<Process>,
    pub(super) stdin: &'a mut Option<ToServer>,
    pub(super) stdout: &'a mut Option<Input<FromServer>>,
    pub(super) stderr: &'a mut Option<Input<ChildStderr>>,
    pub(super) has_ended: bool,
}

/// How a child ended, as `cas/appServerExit` reports it: its exit code, or the signal that ended
/// it.
pub(super) fn exit_of(status: Option<ExitStatus>) -> (Option<i32>, Option<String>) {
    (status.and_then(|s| s.code()), status.and_then(signal))
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;

    let name = match status.signal()? {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        other => return Some(format!("SIG{other}")),
    };
    Some(format!("SIG{name}"))
}

/// This platform has no signals.
#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<String> {
    None
}

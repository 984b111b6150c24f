//! The app-server as a process: its pipes, its end, and the signals that bring it to one.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use cas_sdk::internal::{Pipes, Process, Signal};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::pipes::Input;

/// The longest line of its stderr, which nothing depends on.
const MAX_STDERR_LINE: usize = 1024 * 1024;
/// How long output that is already in a pipe may take to arrive after the child has ended.
const DRAIN: Duration = Duration::from_millis(500);

pub(super) struct Child {
    pub(super) process: Process,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<Input<ChildStdout>>,
    pub(super) stderr: Option<Input<ChildStderr>>,
    pub(super) status: Option<ExitStatus>,
    /// When it ended, and until when what it left in the pipes is waited for.
    pub(super) drained_by: Option<Instant>,
    /// The next signal for a child that is to end.
    ladder: Option<(Instant, Signal)>,
    /// How long each signal is given.
    kill_timeout: Duration,
}

impl Child {
    pub(super) fn new(
        process: Process,
        pipes: Pipes,
        max_line: usize,
        kill_timeout: Duration,
    ) -> Self {
        Self {
            process,
            stdin: Some(pipes.stdin),
            stdout: Some(Input::new(pipes.stdout, max_line)),
            stderr: Some(Input::with_empty_lines(pipes.stderr, MAX_STDERR_LINE)),
            status: None,
            drained_by: None,
            ladder: None,
            kill_timeout,
        }
    }

    /// Gives it the time-out to end by itself, if it has not been given one; then come the signals.
    pub(super) fn expect_end(&mut self, now: Instant) {
        self.ladder
            .get_or_insert((now + self.kill_timeout, Signal::Terminate));
    }

    /// Gives it the time-out to end, whatever it was given before.
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
            self.send(signal);
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
            self.send(signal);
            self.ladder =
                (signal != Signal::Kill).then_some((now + self.kill_timeout, Signal::Kill));
        }
    }

    fn send(&mut self, signal: Signal) {
        if !self.process.signal(signal) {
            self.stdin = None; // Windows has no signals: the end of its input is all that can tell it.
        }
    }

    /// When the next signal is due, or when no more output is waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.drained_by.or(self.ladder.map(|(at, _)| at))
    }

    /// Brings it to its end, however long that takes within its time-outs.
    pub(super) async fn stop(&mut self) {
        self.stdin = None;
        self.process.stop(self.kill_timeout).await;
    }

    /// It is told no more; what it has said is still read.
    pub(super) fn ended(&mut self, status: Option<ExitStatus>, now: Instant) {
        self.status = status;
        self.drained_by = Some(now + DRAIN);
        self.stdin = None;
    }

    /// It has ended, and what it had said has been read.
    pub(super) fn is_over(&self) -> bool {
        self.drained_by.is_some_and(|by| {
            (self.stdout.is_none() && self.stderr.is_none()) || by <= Instant::now()
        })
    }
}

//! SIGINT, SIGTERM and SIGHUP: caught from the start, and obeyed within two seconds whatever the
//! command does.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use crate::failure::{Failure, Result};

/// How long a command has to end by itself after a signal.
const GRACE: Duration = Duration::from_millis(1_800);
/// How long it has after the second one.
const HURRY: Duration = Duration::from_millis(300);

/// How long running work may take to stop after a signal.
pub(crate) const INTERRUPT: Duration = Duration::from_secs(1);
/// How long the server may take to stop then. With [`INTERRUPT`], this is less than [`GRACE`].
pub(crate) const STOP: Duration = Duration::from_millis(500);

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caught {
    Interrupt,
    Terminate,
    Hangup,
}

impl Caught {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Hangup => "SIGHUP",
        }
    }

    /// The result of a command that watches until the user leaves: Ctrl-C is how to leave.
    ///
    /// # Errors
    /// [`Failure::Signal`] for the other signals.
    pub(crate) fn leaves(self) -> Result<u8> {
        match self {
            Self::Interrupt => Ok(crate::failure::DONE),
            other => Err(Failure::Signal(other)),
        }
    }

    /// 128 and its number, as shells say it.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => crate::failure::INTERRUPTED,
            Self::Terminate => 143,
        }
    }
}

/// Hears the signals.
pub(crate) struct Signals(platform::Signals);

impl Signals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// If the system refuses that.
    pub(crate) fn listen() -> io::Result<Self> {
        platform::Signals::listen().map(Self)
    }

    /// The next one. Of several that have come since the last look, SIGINT counts before SIGTERM
    /// and SIGTERM before SIGHUP: their order is not known any more. Cancel safe.
    pub(crate) async fn next(&mut self) -> Caught {
        self.0.next().await
    }

    /// The work, or [`Failure::Signal`] if a signal comes first; then the work is dropped, with all
    /// that it has started.
    pub(crate) async fn or<T, E: Into<Failure>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            caught = self.next() => Err(Failure::Signal(caught)),
            done = work => done.map_err(Into::into),
        }
    }
}

#[cfg(unix)]
mod platform {
    use std::io;

    use rustix::process::{Pid, Signal as UnixSignal, kill_process_group};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Caught;
    use crate::waiting::or_never;

    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
        /// `None` under `nohup`.
        hangup: Option<Signal>,
    }

    impl Signals {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: match SignalKind::hangup() {
                    kind if is_ignored(kind) => None,
                    kind => Some(signal(kind)?),
                },
            })
        }

        pub(super) async fn next(&mut self) -> Caught {
            let hangup = or_never(self.hangup.as_mut().map(Signal::recv));
            tokio::select! {
                biased; // See `Signals::next`.
                _ = self.interrupt.recv() => Caught::Interrupt,
                _ = self.terminate.recv() => Caught::Terminate,
                _ = hangup => Caught::Hangup,
            }
        }
    }

    /// A signal that was ignored when this program was started stays ignored: `nohup` means it.
    fn is_ignored(signal: SignalKind) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
    }

    /// Kills the process group that a server leads.
    pub(super) fn kill(server: u32) {
        if let Some(pid) = i32::try_from(server).ok().and_then(Pid::from_raw) {
            // Those that are gone are what is wanted.
            let _ = kill_process_group(pid, UnixSignal::KILL);
        }
    }
}

#[cfg(windows)]
mod platform {
    use std::io;

    use tokio::signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
    };

    use super::Caught;

    /// Ctrl-C; and as SIGTERM Ctrl-Break, as SIGHUP the end of the console, of the session or of
    /// the system.
    pub(super) struct Signals {
        interrupt: CtrlC,
        terminate: CtrlBreak,
        hangup: (CtrlClose, CtrlShutdown),
    }

    impl Signals {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: ctrl_c()?,
                terminate: ctrl_break()?,
                hangup: (ctrl_close()?, ctrl_shutdown()?),
            })
        }

        pub(super) async fn next(&mut self) -> Caught {
            tokio::select! {
                biased; // See `Signals::next`.
                _ = self.interrupt.recv() => Caught::Interrupt,
                _ = self.terminate.recv() => Caught::Terminate,
                _ = self.hangup.0.recv() => Caught::Hangup,
                _ = self.hangup.1.recv() => Caught::Hangup,
            }
        }
    }

    /// The system ends the servers with this process.
    pub(super) fn kill(_: u32) {}
}

/// The servers that this process has started; each leads a process group.
static SERVERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Notes a server that has to be gone when this process ends.
pub(crate) fn started(pid: Option<u32>) {
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    servers.extend(pid);
}

/// Removes a server that has exited: the system may reuse its id for another process group.
pub(crate) fn ended(pid: Option<u32>) {
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    servers.retain(|server| Some(*server) != pid);
}

/// Ends the process if it has not ended some time after a signal, or soon after a second one.
///
/// The command itself may be stuck: in a write to a pipe that nobody reads, or with a server that
/// does not answer. So this runs on a thread of its own.
pub(crate) fn guard() {
    let watch = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut signals = Signals::listen()?;
            let first = signals.next().await;
            tokio::select! {
                _ = signals.next() => sleep(HURRY).await,
                () = sleep(GRACE) => {}
            }
            let servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
            servers.iter().copied().for_each(platform::kill);
            crate::stdio::give_back_terminal();
            std::process::exit(first.status().into())
        })
    };
    // Without it the commands still hear the signals.
    let _ = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || -> io::Result<()> { watch() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_gone_is_not_killed_by_a_late_signal() {
        let known = || SERVERS.lock().unwrap().clone();
        started(Some(u32::MAX));
        started(Some(u32::MAX - 1));
        started(None);
        ended(None);
        assert_eq!(known(), [u32::MAX, u32::MAX - 1]);
        ended(Some(u32::MAX));
        assert_eq!(known(), [u32::MAX - 1]);
        ended(Some(u32::MAX - 1));
        assert!(known().is_empty());
    }
}

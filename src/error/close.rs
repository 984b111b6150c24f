//! How a connection ended.

use std::{fmt, process::ExitStatus, sync::Arc};

use super::shortened::Shortened;
use crate::rpc::error::Closed;

/// How a connection ended.
#[derive(Clone)]
#[non_exhaustive]
pub struct CloseReason {
    /// What ended it.
    pub cause: CloseCause,
    /// The exit status of the process. `None` if the process was not seen to end, or was not started by this client.
    pub status: Option<ExitStatus>,
    /// The last lines that the process wrote to stderr, at most 64 KiB, without colour codes. `Debug` shows at most 2,000
    /// bytes of them.
    pub stderr_tail: String,
}

/// What ended a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// `shutdown` was called, or the last client was dropped.
    Shutdown,
    /// The process ended by itself.
    Exited,
    /// The server closed its output.
    Eof,
    /// Reading failed.
    Read(String),
    /// Writing failed.
    Write(String),
    /// The runtime on which the client was started has ended, and the server with it. A client can be used from other
    /// runtimes, but does not outlive its own.
    RuntimeEnded,
}

impl CloseReason {
    pub(crate) fn new(cause: CloseCause) -> Self {
        Self {
            cause,
            status: None,
            stderr_tail: String::new(),
        }
    }

    pub(crate) fn shutdown() -> Self {
        Self::new(CloseCause::Shutdown)
    }

    /// The reason as the engine passes it on.
    pub(crate) fn closed(self: &Arc<Self>) -> Closed {
        Closed::new(self.clone())
    }

    /// The reason that the engine has passed on.
    pub(crate) fn of(closed: &Closed) -> Arc<Self> {
        closed
            .reason()
            .unwrap_or_else(|| Arc::new(Self::shutdown()))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            CloseCause::Shutdown => f.write_str("it was shut down")?,
            CloseCause::Exited => f.write_str("the process ended")?,
            CloseCause::Eof => f.write_str("the server closed its output")?,
            CloseCause::Read(e) => write!(f, "reading failed: {e}")?,
            CloseCause::Write(e) => write!(f, "writing failed: {e}")?,
            CloseCause::RuntimeEnded => {
                f.write_str("the runtime on which the client was started has ended")?;
            }
        }
        if let Some(status) = self.status {
            write!(f, " ({status})")?;
        }
        let tail = self.stderr_tail.trim_end();
        if !tail.is_empty() {
            let mut lines: Vec<_> = tail.lines().filter(|line| !is_of_backtrace(line)).collect();
            if lines.is_empty() {
                lines = tail.lines().collect();
            }
            let shown = &lines[lines.len().saturating_sub(5)..];
            write!(f, "; stderr: {}", Shortened(&shown.join(" | ")))?;
        }
        Ok(())
    }
}

impl fmt::Debug for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseReason")
            .field("cause", &self.cause)
            .field("status", &self.status)
            .field("stderr_tail", &Shortened(&self.stderr_tail))
            .finish()
    }
}

impl std::error::Error for CloseReason {}

/// Whether a line of stderr belongs to a backtrace, which stands after the reason and would hide it.
fn is_of_backtrace(line: &str) -> bool {
    let line = line.trim_start();
    let is_frame = line.split_once(": ").is_some_and(|(number, _)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    is_frame || line.starts_with("at /") || line.eq_ignore_ascii_case("stack backtrace:")
}

#[cfg(test)]
mod tests {
    use super::{CloseCause, CloseReason};

    #[test]
    fn a_backtrace_does_not_hide_the_reason_before_it() {
        let mut reason = CloseReason::new(CloseCause::Exited);
        reason.stderr_tail = "Error: no such home\n\nStack backtrace:\n   0: <unknown>\n             at /rustc/x.rs:1:2\n   1: main\n".to_owned();
        let shown = reason.to_string();
        assert!(
            shown.contains("Error: no such home") && !shown.contains("<unknown>"),
            "{shown}"
        );
        reason.stderr_tail = "   0: <unknown>\n".to_owned();
        assert!(
            reason.to_string().contains("<unknown>"),
            "better than nothing"
        );
    }
}

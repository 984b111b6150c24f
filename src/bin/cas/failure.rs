//! How commands fail, and the exit status of each way; the manual lists the same.

use std::{error::Error as StdError, io};

use crate::{reason::reason, signals::Caught};

pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// It was done.
pub(crate) const DONE: u8 = 0;
/// It failed.
pub(crate) const FAILED: u8 = 1;
/// The flags are wrong.
pub(crate) const USAGE: u8 = 2;
/// An action was declined, or the answer does not fit the schema.
pub(crate) const DECLINED: u8 = 3;
/// A time limit passed.
pub(crate) const TIMED_OUT: u8 = 124;
/// SIGINT came, or the turn was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command does not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The flags contradict each other.
    Usage(String),
    /// Everything was printed already, with `--json` the last event too.
    Exit(u8),
    /// A reason with an exit status of its own.
    Status(u8, String),
    /// A signal came.
    Signal(Caught),
    /// Standard output can't be written to.
    Output(io::Error),
    /// Anything else.
    Other(Box<dyn StdError + Send + Sync>),
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Failure {
    /// What went wrong, and why.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Exit(code) => format!("exit status {code}"),
            Self::Usage(text) | Self::Status(_, text) => text.clone(),
            Self::Signal(caught) => format!("ended by {}", caught.name()),
            Self::Output(error) => format!("standard output: {error}"),
            Self::Other(error) => reason(error.as_ref()),
        }
    }

    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Exit(code) | Self::Status(code, _) => *code,
            Self::Usage(_) => USAGE,
            Self::Signal(caught) => caught.status(),
            // Whoever was reading has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
            Self::Output(_) | Self::Other(_) => FAILED,
        }
    }

    /// Whether there is anything left to say.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Exit(_) => true,
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }
}

/// Ends a command whose report says already what has failed.
pub(crate) fn done_if(is_ok: bool) -> Result {
    if is_ok {
        Ok(())
    } else {
        Err(Failure::Exit(FAILED))
    }
}

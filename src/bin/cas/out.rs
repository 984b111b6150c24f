//! What the commands say, and how they fail.

use std::{
    error::Error as StdError,
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a command ends other than well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The flags make no sense together: exit 2.
    Usage(String),
    /// What there is to say has been said: exit with this.
    Exit(u8),
    /// Standard output can't be written to.
    Output(io::Error),
    /// Anything else: exit 1.
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
            Self::Usage(text) => text.clone(),
            Self::Output(error) => format!("standard output: {error}"),
            Self::Other(error) => {
                let mut text = error.to_string();
                let mut source = error.source();
                while let Some(error) = source {
                    text.push_str(": ");
                    text.push_str(&error.to_string());
                    source = error.source();
                }
                text
            }
        }
    }

    /// Says what there is to say, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Exit(code) => return ExitCode::from(*code),
            // Whoever was reading has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Usage(text) => {
                complain(text);
                return ExitCode::from(2);
            }
            other => complain(&other.text()),
        }
        ExitCode::FAILURE
    }
}

/// A line on standard error. If even that is gone there is nobody to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "cas: {text}");
}

/// A line on standard output.
pub(crate) fn line(text: impl fmt::Display) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(Failure::Output)
}

/// A part of a line, to be seen at once.
pub(crate) fn part(text: &str) -> Result {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

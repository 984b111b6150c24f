//! What the commands say, and how they fail.
//!
//! Nothing is written to the standard streams but from here (the lines of `cas proxy` apart, which are for programs), so
//! whatever a model, a repository or a server said goes through one filter on its way to the terminal.

use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use cas_sdk::terminal::{escape, escape_json, escape_line};
use serde::Serialize;

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

/// A remark on standard error. If even that is gone there is nobody to tell.
///
/// Further lines are indented: none of them can be taken for a remark of its own.
pub(crate) fn complain(text: &str) {
    let text = escape(text.trim_end()).replace('\n', "\n     ");
    let _ = writeln!(io::stderr(), "cas: {text}");
}

/// A line for people on standard output. What stands in it and should not break it goes through [`cell`].
pub(crate) fn line(text: impl fmt::Display) -> Result {
    write(&escape(&format!("{text}\n")))
}

/// A part of a line for people, to be seen at once.
pub(crate) fn part(text: &str) -> Result {
    write(&escape(text))
}

/// A line of JSON. It means what it did, to the letter.
pub(crate) fn json(value: &impl Serialize) -> Result {
    raw_json(&serde_json::to_string(value)?)
}

/// JSON over several lines, as the Node originals print it. It means what it did, to the letter.
pub(crate) fn pretty_json(value: &impl Serialize) -> Result {
    raw_json(&serde_json::to_string_pretty(value)?)
}

/// A line of JSON that is text already.
pub(crate) fn raw_json(json: &str) -> Result {
    write(&format!("{}\n", escape_json(json)))
}

/// What is made here for a program, such as a shell: to the letter.
pub(crate) fn verbatim(text: &str) -> Result {
    write(text)
}

/// Text in one line with others, a title say: newlines are shown, and what is too long ends in an ellipsis.
pub(crate) fn cell(text: &str, longest: usize) -> String {
    let shown = escape_line(text);
    let mut chars = shown.char_indices().map(|(at, _)| at);
    match (chars.nth(longest.saturating_sub(1)), chars.next()) {
        (Some(last), Some(_)) => format!("{}…", &shown[..last]),
        _ => shown.into_owned(),
    }
}

/// Text in one line with others, at its full length.
pub(crate) fn field(text: &str) -> Cow<'_, str> {
    escape_line(text)
}

fn write(text: &str) -> Result {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_and_says_when_it_was_cut() {
        assert_eq!(cell("short", 5), "short");
        assert_eq!(cell("longer", 5), "long…");
        assert_eq!(cell("a\nb\x1b[2J", 80), "a^Jb^[[2J");
        assert_eq!(cell("日本語の題", 3), "日本…");
        assert_eq!(cell("", 3), "");
    }
}

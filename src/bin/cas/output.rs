//! What the commands say.
//!
//! Nothing is written to the standard streams but from here and `printer` (the lines of `cas proxy`
//! apart, which are for programs), so whatever a model, a repository or a server said goes through
//! one filter on its way to the terminal.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write as _},
};

use anstyle::{AnsiColor, Style};
use cas_sdk::terminal::{escape, escape_json, escape_line};
use serde::{Serialize, Serializer};
use serde_json::Value;

pub(crate) use crate::failure::{Failure, Result};
use crate::screen::Stream;

/// Writes a remark to standard error. If even that fails, nobody can be told.
///
/// Further lines are indented: none of them can be taken for a remark of its own.
pub(crate) fn complain(text: &str) {
    remark(Style::new(), text);
}

/// What went wrong, on standard error.
pub(crate) fn fail(text: &str) {
    remark(AnsiColor::Red.on_default(), text);
}

/// A remark in a style, which is left out where the terminal has none.
pub(crate) fn remark(style: Style, text: &str) {
    let text = escape(text.trim_end()).replace('\n', "\n     ");
    let text = Stream::Err.paint(style, &format!("cas: {text}"));
    let _ = writeln!(io::stderr(), "{text}");
}

/// A line for people on standard output. What stands in it and should not break it goes through
/// [`cell`].
pub(crate) fn line(text: impl fmt::Display) -> Result {
    verbatim(&escape(&format!("{text}\n")))
}

/// A line of which some parts are in a style.
#[derive(Debug, Default)]
pub(crate) struct Styled(String);

impl Styled {
    pub(crate) fn plain(mut self, text: &str) -> Self {
        self.0.push_str(&escape_line(text));
        self
    }

    pub(crate) fn paint(mut self, style: Style, text: &str) -> Self {
        self.0
            .push_str(&Stream::Out.paint(style, &escape_line(text)));
        self
    }

    pub(crate) fn print(self) -> Result {
        verbatim(&format!("{}\n", self.0.trim_end()))
    }
}

/// A line of JSON. It means what it did, to the letter.
pub(crate) fn json(value: &impl Serialize) -> Result {
    raw_json(&serde_json::to_string(value)?)
}

/// An object with its members in this order.
#[derive(Debug)]
pub(crate) struct Members<const N: usize>(pub(crate) [(&'static str, Value); N]);

impl<const N: usize> Serialize for Members<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// JSON over several lines, as the Node originals print it. It means what it did, to the letter.
pub(crate) fn pretty_json(value: &impl Serialize) -> Result {
    raw_json(&serde_json::to_string_pretty(value)?)
}

/// A line of JSON that is text already.
pub(crate) fn raw_json(json: &str) -> Result {
    verbatim(&format!("{}\n", escape_json(json)))
}

/// Text that shares a line with other text, such as a title: newlines are made visible, and a long
/// text ends in an ellipsis.
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

/// Writes text unchanged: text made here for a program such as a shell, or text that is already
/// safe and styled.
pub(crate) fn verbatim(text: &str) -> Result {
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

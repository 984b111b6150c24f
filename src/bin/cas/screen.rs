//! What the terminal can show: colours, its width, tables that fit it.

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
    time::Duration,
};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use indicatif::ProgressBar;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::{Result, Styled, field};

/// Whether colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal that has them, unless `NO_COLOR` is set
    #[default]
    Auto,
    Always,
    Never,
}

impl Colour {
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => {}
            Self::Always => ColorChoice::Always.write_global(),
            Self::Never => ColorChoice::Never.write_global(),
        }
    }
}

/// One of the standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(crate) fn has_colours(self) -> bool {
        static CHOICES: OnceLock<[bool; 2]> = OnceLock::new();
        let [out, err] = CHOICES.get_or_init(|| {
            let on = |choice| !matches!(choice, ColorChoice::Never);
            [
                on(AutoStream::choice(&io::stdout())),
                on(AutoStream::choice(&io::stderr())),
            ]
        });
        match self {
            Self::Out => *out,
            Self::Err => *err,
        }
    }

    /// The text in a style, where the stream has colours.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.has_colours() && style != Style::new() && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

/// Whether a terminal can move its cursor back, as a spinner does.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
}

/// A spinner on standard error; hidden where nobody would see it move.
pub(crate) fn spinner(message: &'static str) -> ProgressBar {
    if is_dumb() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// How many columns standard output has; `None` if it is no terminal.
pub(crate) fn width() -> Option<usize> {
    Some(size()?.0)
}

/// How many rows standard output has; `None` if it is no terminal.
pub(crate) fn height() -> Option<usize> {
    Some(size()?.1)
}

/// The assumed size of a terminal that doesn't report its own.
const USUAL: (usize, usize) = (80, 24);

/// The columns and rows of standard output; `None` if it is no terminal.
#[cfg(unix)]
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    let known = |cells: u16, usual| match usize::from(cells) {
        0 => usual,
        cells => cells,
    };
    Some((known(size.ws_col, USUAL.0), known(size.ws_row, USUAL.1)))
}

/// The assumed columns and rows of standard output; `None` if it is no terminal.
#[cfg(not(unix))]
fn size() -> Option<(usize, usize)> {
    io::stdout().is_terminal().then_some(USUAL)
}

/// Rows under a header, each column as wide as its widest cell. The last one is cut where the
/// terminal ends.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    /// Which columns are numbers, which end under each other.
    numbers: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns; a name that begins with `#` is one of numbers.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self {
            header: columns
                .iter()
                .map(|name| name.trim_start_matches('#'))
                .collect(),
            numbers: columns.iter().map(|name| name.starts_with('#')).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| field(&cell).into_owned())
                .collect(),
        );
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn print(&self) -> Result {
        let header: Vec<String> = self.header.iter().map(|name| (*name).to_owned()).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|column| {
                let cells = self.rows.iter().chain([&header]);
                cells
                    .map(|row| row[column].width())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let screen = width().unwrap_or(usize::MAX);
        Styled::default()
            .paint(BOLD, &self.line(&header, &widths, screen))
            .print()?;
        for row in &self.rows {
            Styled::default()
                .plain(&self.line(row, &widths, screen))
                .print()?;
        }
        Ok(())
    }

    fn line(&self, row: &[String], widths: &[usize], screen: usize) -> String {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.width()));
            if self.numbers[column] {
                line.extend([&pad, cell.as_str()]);
            } else {
                line.extend([cell.as_str(), &pad]);
            }
            line.push_str("  ");
        }
        cut(line.trim_end(), screen)
    }
}

/// As much of a line as fits into so many columns; what is cut ends in an ellipsis.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let mut out = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or_default();
        if used >= columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_what_it_takes_on_the_screen() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("日本語の題", 6), "日本…");
    }

    #[test]
    fn numbers_end_under_each_other() {
        let mut table = Table::new(&["name", "#count"]);
        table.row(["a".into(), "5".into()]);
        table.row(["long".into(), "12345".into()]);
        let widths = [4, 5];
        assert_eq!(table.line(&table.rows[0], &widths, 80), "a         5");
        assert_eq!(table.line(&table.rows[1], &widths, 80), "long  12345");
    }
}

//! The row at the bottom of the screen in which a line is typed, below all that is written.
//!
//! What is written goes on where it ended, above that row: the row is taken away, the last row of
//! the text is written once more, with what is new, and the row is drawn below. So nothing but the
//! last row has to be remembered.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::line::Line;
use crate::screen::{BOLD, Stream};

pub(crate) struct Bottom {
    /// What stands before the line that is typed. A terminal obeys nothing in it.
    label: String,
    is_secret: bool,
    pub(crate) line: Line,
    /// The width of the screen when it was drawn last.
    columns: usize,
    /// The last row of what was written, if it is not complete, and how many columns it takes.
    row: String,
    width: usize,
}

impl Bottom {
    pub(crate) fn new(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            is_secret: false,
            line: Line::default(),
            columns: 0,
            row: String::new(),
            width: 0,
        }
    }

    pub(crate) fn label(&mut self, label: &str, is_secret: bool) {
        label.clone_into(&mut self.label);
        self.is_secret = is_secret;
    }

    /// What a line looks like once it is entered; `None` for a secret.
    pub(crate) fn entered(&self, line: &str) -> Option<String> {
        (!self.is_secret).then(|| format!("{}{}", self.label, crate::output::field(line)))
    }

    /// What writes a text, in which a terminal obeys nothing but its colours, above the row.
    pub(crate) fn above(&mut self, text: &str, columns: usize) -> String {
        let mut out = self.erased(columns);
        let mut text = text;
        if self.width >= columns {
            // The text goes on where the row is, as if it had been wrapped; a newline would end
            // nothing there.
            self.end_row();
            text = text.strip_prefix('\n').unwrap_or(text);
        }
        if self.width > 0 {
            out.push_str("\x1b[A\r\x1b[K");
            out.push_str(&self.row);
        }
        out.push_str(text);
        self.follow(text);
        if self.width > 0 {
            out.push('\n');
        }
        self.draw(&mut out);
        out
    }

    /// Returns what draws the row again.
    pub(crate) fn redrawn(&mut self, columns: usize) -> String {
        let mut out = self.erased(columns);
        self.draw(&mut out);
        out
    }

    /// What takes the row away.
    pub(crate) fn erased(&mut self, columns: usize) -> String {
        if self.columns != columns {
            // The terminal may have wrapped all text again, so new text goes below it.
            self.end_row();
            self.columns = columns;
        }
        "\r\x1b[J".to_owned()
    }

    fn draw(&self, out: &mut String) {
        let label_width = self.label.width();
        // On a screen that has hardly room for it, what is typed is worth more.
        let label = if label_width + 8 > self.columns {
            ""
        } else {
            &self.label
        };
        let label_width = if label.is_empty() { 0 } else { label_width };
        let (text, at) = self.line.shown(self.columns - label_width, self.is_secret);
        out.push_str(&Stream::Out.paint(BOLD, label));
        out.push_str(&text);
        out.push('\r');
        if label_width + at > 0 {
            let _ = write!(out, "\x1b[{}C", label_width + at);
        }
    }

    /// Follows where the terminal stands after a text.
    fn follow(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\n' => {
                    self.end_row();
                    continue;
                }
                '\x1b' => {
                    // A colour: it takes no room, and ends with its letter.
                    self.row.push(c);
                    for c in chars.by_ref() {
                        self.row.push(c);
                        if c.is_ascii_alphabetic() {
                            break;
                        }
                    }
                    continue;
                }
                // A tabulator never leaves its row.
                '\t' => self.width = ((self.width / 8 + 1) * 8).min(self.columns - 1),
                c => {
                    let width = c.width().unwrap_or_default();
                    if self.width + width > self.columns {
                        self.end_row();
                    }
                    self.width += width;
                }
            }
            self.row.push(c);
        }
    }

    fn end_row(&mut self) {
        self.row.clear();
        self.width = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typing::keys::Key;

    /// What a terminal of 10 columns shows of all that was written, and where its cursor stands:
    /// enough of one for this.
    fn screen(written: &str) -> (Vec<String>, (usize, usize)) {
        let mut rows = vec![String::new()];
        let (mut row, mut column) = (0, 0);
        let mut chars = written.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' => column = 0,
                '\n' => {
                    (row, column) = (row + 1, 0);
                    rows.resize(rows.len().max(row + 1), String::new());
                }
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let number: String =
                        std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
                    let n = number.parse().unwrap_or(1);
                    match chars.next() {
                        Some('A') => row -= n,
                        Some('C') => column += n,
                        Some('J') => {
                            rows.truncate(row + 1);
                            rows[row].truncate(column);
                        }
                        Some('K') => rows[row].truncate(column),
                        other => panic!("{other:?}"),
                    }
                }
                c => {
                    if column == 10 {
                        (row, column) = (row + 1, 0);
                        rows.resize(rows.len().max(row + 1), String::new());
                    }
                    assert!(column <= rows[row].len(), "a gap: {rows:?}");
                    rows[row].truncate(column);
                    rows[row].push(c);
                    column += 1;
                }
            }
        }
        (rows, (row, column))
    }

    #[test]
    fn text_in_pieces_stands_above_as_if_nothing_were_below() {
        let text = "one two three four five\n\nsix seven0\nninety";
        for size in 1..text.len() {
            let mut bottom = Bottom::new("> ");
            let mut written = bottom.redrawn(10);
            for piece in text.as_bytes().chunks(size) {
                let piece = std::str::from_utf8(piece).unwrap();
                written.push_str(&bottom.above(piece, 10));
                bottom.line.key(Key::Char('x'));
                bottom.line.key(Key::Left);
                written.push_str(&bottom.redrawn(10));
                bottom.line.key(Key::CutAfter);
            }
            written.push_str(&bottom.redrawn(10));
            let (rows, cursor) = screen(&written);
            let shown = [
                "one two th",
                "ree four f",
                "ive",
                "",
                "six seven0",
                "ninety",
                "> ",
            ];
            assert_eq!(rows, shown, "in pieces of {size}");
            assert_eq!(cursor, (6, 2));
        }
    }

    #[test]
    fn on_a_screen_of_another_size_text_goes_on_in_a_row_of_its_own() {
        let mut bottom = Bottom::new("> ");
        let first = bottom.above("one ", 12);
        let second = bottom.above("two", 10);
        let (rows, _) = screen(&(first + &second));
        assert_eq!(rows, ["one ", "two", "> "]);
    }
}

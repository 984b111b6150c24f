//! A line that is being typed.

use unicode_width::UnicodeWidthStr as _;

use super::keys::Key;
use crate::output::field;

/// The maximum number of characters shown for each column; all but one of them have no width.
const MARKS: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Line {
    chars: Vec<char>,
    /// The cursor stands before the character with this number.
    at: usize,
}

/// What a key has done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Changed,
    Entered(String),
    /// The end of all that is typed.
    End,
    Nothing,
}

impl Line {
    pub(crate) fn set(&mut self, text: &str) {
        self.chars = text.chars().collect();
        self.at = self.chars.len();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    pub(crate) fn text(&self) -> String {
        self.chars.iter().collect()
    }

    pub(crate) fn key(&mut self, key: Key) -> Edit {
        let len = self.chars.len();
        match key {
            Key::Char(c) => {
                self.chars.insert(self.at, c);
                self.at += 1;
            }
            Key::Enter => {
                self.at = 0;
                return Edit::Entered(self.chars.drain(..).collect());
            }
            Key::EndOfInput if len == 0 => return Edit::End,
            Key::Backspace if self.at > 0 => {
                self.at -= 1;
                self.chars.remove(self.at);
            }
            Key::Delete | Key::EndOfInput if self.at < len => {
                self.chars.remove(self.at);
            }
            Key::Left => self.at = self.at.saturating_sub(1),
            Key::Right => self.at = len.min(self.at + 1),
            Key::Home => self.at = 0,
            Key::End => self.at = len,
            Key::CutAfter => self.chars.truncate(self.at),
            Key::CutBefore => self.cut_from(0),
            Key::CutWord => {
                let before = &self.chars[..self.at];
                let end = before.iter().rposition(|c| !c.is_whitespace());
                let begin = before[..end.unwrap_or(0)]
                    .iter()
                    .rposition(|c| c.is_whitespace());
                self.cut_from(begin.map_or(0, |space| space + 1));
            }
            _ => return Edit::Nothing,
        }
        Edit::Changed
    }

    fn cut_from(&mut self, begin: usize) {
        self.chars.drain(begin..self.at);
        self.at = begin;
    }

    /// The part around the cursor that fits into so many columns, with nothing in it that a
    /// terminal obeys, and the column of the cursor. Of a secret nothing but its length is shown.
    pub(crate) fn shown(&self, columns: usize, is_secret: bool) -> (String, usize) {
        // The cursor takes a column, too.
        let room = columns.saturating_sub(1);
        let cell = |c: &char| {
            if is_secret {
                "*".to_owned()
            } else {
                field(c.encode_utf8(&mut [0; 4])).into_owned()
            }
        };
        let (before, after) = self.chars.split_at(self.at);
        // NB. A pasted line may be of any length, so only the part that is shown is examined.
        let (mut left, at) = fitting(before.iter().rev().map(cell), room);
        left.reverse();
        let (right, _) = fitting(after.iter().map(cell), room - at);
        (left.concat() + &right.concat(), at)
    }
}

/// The leading cells that fit into `room` columns, and how many columns they take.
fn fitting(cells: impl Iterator<Item = String>, room: usize) -> (Vec<String>, usize) {
    let (mut fitting, mut used) = (Vec::new(), 0);
    // Characters without a width, such as accents, are limited too.
    for cell in cells.take(room.saturating_mul(MARKS)) {
        if used + cell.width() > room {
            break;
        }
        used += cell.width();
        fitting.push(cell);
    }
    (fitting, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> Line {
        let mut line = Line::default();
        line.set("one two  three");
        for key in keys {
            line.key(*key);
        }
        line
    }

    #[test]
    fn a_line_is_edited_where_the_cursor_stands() {
        for (keys, left) in [
            (&[Key::CutWord][..], "one two  "),
            (&[Key::CutWord, Key::CutWord], "one "),
            (
                &[Key::CutWord, Key::CutWord, Key::CutWord, Key::CutWord],
                "",
            ),
            (&[Key::Home, Key::Right, Key::CutAfter], "o"),
            (&[Key::Left, Key::CutBefore], "e"),
            (&[Key::Home, Key::Delete, Key::EndOfInput], "e two  three"),
            (
                &[Key::Home, Key::Backspace, Key::Left, Key::CutWord],
                "one two  three",
            ),
            (
                &[Key::Backspace, Key::End, Key::Right, Key::Delete],
                "one two  thre",
            ),
        ] {
            assert_eq!(typed(keys).text(), left, "{keys:?}");
        }
        assert_eq!(typed(&[]).key(Key::EndOfInput), Edit::Nothing);
        assert_eq!(typed(&[Key::CutBefore]).key(Key::EndOfInput), Edit::End);
        let mut line = typed(&[Key::Left]);
        assert_eq!(
            line.key(Key::Enter),
            Edit::Entered("one two  three".to_owned())
        );
        assert_eq!(line.shown(80, false), (String::new(), 0));
    }

    #[test]
    fn the_part_around_the_cursor_is_shown_and_nothing_in_it_is_obeyed() {
        let mut line = typed(&[]);
        assert_eq!(line.shown(80, false), ("one two  three".to_owned(), 14));
        assert_eq!(line.shown(6, false), ("three".to_owned(), 5));
        line.key(Key::Home);
        assert_eq!(line.shown(6, false), ("one t".to_owned(), 0));
        line.set("日本語");
        assert_eq!(line.shown(6, false), ("本語".to_owned(), 4));
        line.set("a\n\x1b\u{202e}b");
        assert_eq!(line.shown(80, false), ("a^J^[<U+202E>b".to_owned(), 14));
        assert_eq!(line.shown(80, true), ("*****".to_owned(), 5));
        assert_eq!(line.shown(0, false), (String::new(), 0));
        line.set("e\u{301}e\u{301}");
        assert_eq!(line.shown(80, false), ("e\u{301}e\u{301}".to_owned(), 2));
        line.set(&"\u{301}".repeat(10_000));
        assert!(line.shown(80, false).0.chars().count() < 2_000);
    }
}

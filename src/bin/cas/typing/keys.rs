//! The keys of a terminal, from the bytes that it sends for them.

use std::collections::VecDeque;

/// A key, or what else is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character. A newline is one that was pasted.
    Char(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    Home,
    End,
    /// Ctrl-D: the end, or, within a line, as Delete.
    EndOfInput,
    /// Ctrl-U.
    CutBefore,
    /// Ctrl-K.
    CutAfter,
    /// Ctrl-W.
    CutWord,
    /// Ctrl-L, or a screen of another size.
    Redraw,
    /// Ctrl-Z.
    Suspend,
}

/// Makes keys of bytes, which may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    /// Within a paste, where Enter is part of the text.
    pastes: bool,
    keys: VecDeque<Key>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// The beginning of a character, and how many bytes it has.
    Char(Vec<u8>, usize),
    Escape,
    /// A sequence that began with `ESC O` or `ESC [`, and its parameters.
    Sequence(String),
}

/// Longer sequences are none that are known.
const LONGEST: usize = 16;

impl Decoder {
    pub(crate) fn next(&mut self) -> Option<Key> {
        self.keys.pop_front()
    }

    pub(crate) fn has_more(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte),
            State::Char(mut bytes, len) => {
                if byte & 0xc0 != 0x80 {
                    self.keys.push_back(Key::Char(char::REPLACEMENT_CHARACTER));
                    return self.ground(byte);
                }
                bytes.push(byte);
                if bytes.len() < len {
                    self.state = State::Char(bytes, len);
                    return;
                }
                let text = String::from_utf8_lossy(&bytes);
                self.keys.extend(text.chars().map(Key::Char));
            }
            State::Escape => match byte {
                b'[' | b'O' => self.state = State::Sequence(String::new()),
                0x1b => self.state = State::Escape,
                // With Alt, a key is itself.
                _ => self.ground(byte),
            },
            State::Sequence(mut params) => match byte {
                b'0'..=b'9' | b';' | b'?' if params.len() < LONGEST => {
                    params.push(char::from(byte));
                    self.state = State::Sequence(params);
                }
                0x1b => self.state = State::Escape,
                _ => self.sequence(&params, byte),
            },
        }
    }

    fn ground(&mut self, byte: u8) {
        let key = match byte {
            b'\r' | b'\n' if self.pastes => Key::Char('\n'),
            b'\t' => Key::Char('\t'),
            0x1b => {
                self.state = State::Escape;
                return;
            }
            // What else a paste has is text or nothing.
            0..0x20 | 0x7f if self.pastes => return,
            b'\r' | b'\n' => Key::Enter,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x04 => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            0x0b => Key::CutAfter,
            0x0c => Key::Redraw,
            0x15 => Key::CutBefore,
            0x17 => Key::CutWord,
            0x1a => Key::Suspend,
            0..0x20 => return,
            0x20..0x7f => Key::Char(char::from(byte)),
            0xc2..0xe0 => return self.state = State::Char(vec![byte], 2),
            0xe0..0xf0 => return self.state = State::Char(vec![byte], 3),
            0xf0..0xf5 => return self.state = State::Char(vec![byte], 4),
            _ => Key::Char(char::REPLACEMENT_CHARACTER),
        };
        self.keys.push_back(key);
    }

    fn sequence(&mut self, params: &str, last: u8) {
        let key = match (params, last) {
            ("200", b'~') => return self.pastes = true,
            ("201", b'~') => return self.pastes = false,
            _ if self.pastes => return,
            ("3", b'~') => Key::Delete,
            (_, b'C') => Key::Right,
            (_, b'D') => Key::Left,
            ("1" | "7", b'~') | (_, b'H') => Key::Home,
            ("4" | "8", b'~') | (_, b'F') => Key::End,
            _ => return,
        };
        self.keys.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        decoder.feed(bytes);
        decoder.keys.into()
    }

    #[test]
    fn keys_are_the_same_wherever_their_bytes_are_cut() {
        let bytes = "aé\u{1f600}\x1b[D\x1bOH\x1b[3~\x1b[1;5C\x7f\x04\r".as_bytes();
        let all = keys(bytes);
        assert_eq!(
            all,
            [
                Key::Char('a'),
                Key::Char('é'),
                Key::Char('\u{1f600}'),
                Key::Left,
                Key::Home,
                Key::Delete,
                Key::Right,
                Key::Backspace,
                Key::EndOfInput,
                Key::Enter,
            ]
        );
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes[..cut]);
            decoder.feed(&bytes[cut..]);
            assert_eq!(decoder.keys, all, "cut at {cut}");
        }
    }

    #[test]
    fn the_lines_of_a_paste_are_text_and_its_control_characters_are_nothing() {
        let pasted = keys(b"\x1b[200~a\rb\x04\x1b[D\x15\nc\x1b[201~\r");
        let text = ['a', '\n', 'b', '\n', 'c'].map(Key::Char);
        assert_eq!(pasted[..5], text);
        assert_eq!(pasted[5..], [Key::Enter]);
    }

    #[test]
    fn bytes_that_are_no_text_stop_nothing() {
        let odd = Key::Char(char::REPLACEMENT_CHARACTER);
        assert_eq!(keys(b"\xffa"), [odd, Key::Char('a')]);
        assert_eq!(keys(b"\xe2\x82a"), [odd, Key::Char('a')]);
        assert_eq!(keys(b"\xed\xa0\x80").last(), Some(&odd));
        assert_eq!(
            keys(b"\x1b[99999999999999999999xa").last(),
            Some(&Key::Char('a'))
        );
        assert_eq!(keys(b"\x1b\x1b[Aa"), [Key::Char('a')]);
    }
}

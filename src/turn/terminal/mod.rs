//! Makes text from elsewhere safe to print: a character that a terminal would obey, or not show at
//! all, becomes visible.
//!
//! Text from a model, a repository or an MCP server may hold escape sequences. Such sequences move
//! the cursor, hide what was printed before, set the clipboard, or reorder a line so that it reads
//! differently. Text that a program prints for people goes through [`escape`], a single line of it
//! through [`escape_line`], and bytes through [`EscapeWriter`].
//!
//! These characters become visible: C0 except newline and tab (`^[`), DEL (`^?`), C1 (`<U+009B>`),
//! the controls of bidirectional text (`<U+202E>`), and characters that are invisible or only
//! format: zero-width characters, separators of lines and paragraphs, tags, fillers, annotations.
//! U+FE0E and U+FE0F, which switch a sign between its text form and its emoji form, stay.
//!
//! Each character is handled by itself, so pieces of a stream may be cut anywhere. Escaping text
//! that is already escaped leaves it unchanged.
//!
//! ```
//! use cas_sdk::terminal::{escape, escape_line};
//!
//! assert_eq!(escape("red \x1b[31malert\r\n"), "red ^[[31malert^M\n");
//! assert_eq!(escape_line("ls\nrm -rf ~"), "ls^Jrm -rf ~");
//! ```

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

/// Escapes text of any number of lines. Nothing remains that a terminal obeys, except newlines and
/// tabs.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, is_unsafe, show)
}

/// Escapes text for a single line, such as a title, a path or a command. Newlines and tabs become
/// visible too, as `^J` and `^I`.
#[must_use]
pub fn escape_line(text: &str) -> Cow<'_, str> {
    replace(text, |c| is_unsafe(c) || matches!(c, '\n' | '\t'), show)
}

/// Escapes JSON text without changing its meaning. Nothing remains that a terminal obeys: such
/// characters become `\u` escapes.
///
/// The input is JSON as serializers write it, where such characters only stand inside strings.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    replace(json, is_unsafe, |c, out| {
        // An unescaped `\r` can only stand between two tokens.
        if c == '\r' {
            return out.push(' ');
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Whether a terminal obeys the character, or people don't see it.
fn is_unsafe(c: char) -> bool {
    matches!(c,
        // C0 but tab and newline, DEL, C1.
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // The direction of text.
        | '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Zero width.
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{17b4}'..='\u{17b5}'
        // Separators of lines and paragraphs.
        | '\u{2028}'..='\u{2029}'
        // Fillers, which look like a space and are none.
        | '\u{115f}'..='\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        // Variants, tags, annotations, and other characters that only format.
        | '\u{fe00}'..='\u{fe0d}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Shows a character as `less` and `cat -v` do.
fn show(c: char, out: &mut String) {
    let _ = match c {
        '\0'..='\u{1f}' | '\u{7f}' => write!(out, "^{}", char::from(c as u8 ^ 0x40)),
        _ => write!(out, "<U+{:04X}>", u32::from(c)),
    };
}

fn replace(
    text: &str,
    wanted: impl Fn(char) -> bool,
    put: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let Some(first) = text.find(&wanted) else {
        return text.into();
    };
    let (clean, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(clean);
    for c in rest.chars() {
        if wanted(c) {
            put(c, &mut out);
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// A writer that escapes bytes as [`escape`] escapes text: for logs, or the output of another
/// program.
///
/// A character may be split between two writes. Bytes that are not UTF-8 become `<9B>` and the
/// like.
#[derive(Debug)]
pub struct EscapeWriter<W: Write> {
    to: W,
    /// The beginning of a character whose rest has not arrived yet.
    cut: Vec<u8>,
}

impl<W: Write> EscapeWriter<W> {
    /// Creates a writer that writes to `to`.
    pub fn new(to: W) -> Self {
        Self {
            to,
            cut: Vec::new(),
        }
    }
}

impl<W: Write> Write for EscapeWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut joined = std::mem::take(&mut self.cut);
        let input = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let mut out = String::with_capacity(input.len());
        let mut chunks = input.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            out.push_str(&escape(chunk.valid()));
            let odd = chunk.invalid();
            let may_go_on = std::str::from_utf8(odd).is_err_and(|e| e.error_len().is_none());
            if may_go_on && chunks.peek().is_none() {
                self.cut = odd.to_vec();
            } else {
                show_bytes(odd, &mut out);
            }
        }
        self.to.write_all(out.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Drop for EscapeWriter<W> {
    fn drop(&mut self) {
        let mut rest = String::new();
        show_bytes(&self.cut, &mut rest);
        // Nobody can be told of a failure here.
        let _ = self.to.write_all(rest.as_bytes());
    }
}

fn show_bytes(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "<{byte:02X}>");
    }
}

#[cfg(test)]
mod tests;

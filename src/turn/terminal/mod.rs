//! Text from elsewhere, made safe to print: what a terminal would obey, or not show at all, is shown instead.
//!
//! What a model, a repository or an MCP server says may hold escape sequences: they move the cursor, hide what was
//! printed before, set the clipboard, or reorder a line so that it reads otherwise than it is. Whatever a program prints
//! of it for people goes through [`escape`], one line of it through [`escape_line`], and bytes through [`EscapeWriter`].
//!
//! Shown are C0 but newline and tab (`^[`), DEL (`^?`), C1 (`<U+009B>`), the controls of bidirectional text
//! (`<U+202E>`), and characters that are invisible or only format: of zero width, separators of lines and paragraphs,
//! tags, fillers, annotations. U+FE0E and U+FE0F, which make an emoji of a sign and back, stay.
//!
//! Each character is looked at by itself, so pieces of a stream may be cut anywhere. Text that has been through it comes
//! out of it unchanged.
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

/// Text of any number of lines, with nothing in it that a terminal obeys but newlines and tabs.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, is_unsafe, show)
}

/// Text for a single line, such as a title, a path or a command: newlines and tabs are shown too, as `^J` and `^I`.
#[must_use]
pub fn escape_line(text: &str) -> Cow<'_, str> {
    replace(text, |c| is_unsafe(c) || matches!(c, '\n' | '\t'), show)
}

/// JSON text that means the same and has nothing in it that a terminal obeys: such characters become `\u` escapes.
///
/// For JSON as serializers write it, where they only stand inside strings.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    replace(json, is_unsafe, |c, out| {
        // Unescaped, it can only stand between two tokens.
        if c == '\r' {
            return out.push(' ');
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Whether a terminal obeys the character, or people don't see that it is there.
fn is_unsafe(c: char) -> bool {
    matches!(c,
        // C0 but tab and newline, DEL, C1.
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // The direction of text.
        | '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Of no width.
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{17b4}'..='\u{17b5}'
        // Lines and paragraphs.
        | '\u{2028}'..='\u{2029}'
        // Fillers, which are as blank as a space and are none.
        | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}'
        // Variants, tags, annotations, and what else only formats.
        | '\u{fe00}'..='\u{fe0d}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// As `less` and `cat -v` show it.
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

/// A writer that does to bytes what [`escape`] does to text: for logs, or the output of another program.
///
/// A character may be cut between two writes. Bytes that are not UTF-8 are shown as `<9B>`.
#[derive(Debug)]
pub struct EscapeWriter<W: Write> {
    to: W,
    /// The beginning of a character whose rest has not come yet.
    cut: Vec<u8>,
}

impl<W: Write> EscapeWriter<W> {
    /// Writes to `to`.
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
        // There is nobody to tell of a failure.
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

//! One strict pass over a line: is it JSON to the last byte, and where do the parts stand that an
//! event repeats?
//!
//! The library's own scan (`rpc::message`) is lenient, which is right for a client that keeps what
//! it can't read. Here the line becomes part of another JSON text, so it must be valid JSON.
//! Checking that with serde first would double the cost.

use std::ops::Range;

/// Where the parts of a message stand; strings with their quotes. Empty if absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span(u32, u32);

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "lines are limited to less than 4 GiB"
    )]
    fn new(start: usize, end: usize) -> Self {
        Self(start as u32, end as u32)
    }

    fn range(self) -> Range<usize> {
        self.0 as usize..self.1 as usize
    }

    fn is_empty(self) -> bool {
        self.0 == self.1
    }

    fn or(self, other: Self) -> Self {
        if self.is_empty() { other } else { self }
    }
}

/// The three routing keys of an object such as `params`.
#[derive(Debug, Clone, Copy, Default)]
struct Keys {
    thread: Span,
    turn: Span,
    item: Span,
}

impl Keys {
    fn or(self, other: Self) -> Self {
        Self {
            thread: self.thread.or(other.thread),
            turn: self.turn.or(other.turn),
            item: self.item.or(other.item),
        }
    }
}

/// A line that is JSON, and its parts as they stand in it.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) text: &'a str,
    method: Span,
    id: Span,
    params: Span,
    result: Span,
    error: Span,
    keys: Keys,
}

/// The kind of a message, in the words that events use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Notification,
    Response,
    Unknown,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Notification => "notification",
            Self::Response => "response",
            Self::Unknown => "unknown",
        }
    }
}

impl<'a> Message<'a> {
    fn part(&self, span: Span) -> Option<&'a str> {
        if span.is_empty() {
            None
        } else {
            self.text.get(span.range())
        }
    }
    pub(super) fn kind(&self) -> Kind {
        match (self.method.is_empty(), self.id.is_empty()) {
            (false, false) => Kind::Request,
            (false, true) => Kind::Notification,
            (true, false) if !(self.result.is_empty() && self.error.is_empty()) => Kind::Response,
            (true, _) => Kind::Unknown,
        }
    }
    /// With its quotes, as all strings here.
    pub(super) fn method(&self) -> Option<&'a str> {
        self.part(self.method)
    }
    /// A string or a number.
    pub(super) fn id(&self) -> Option<&'a str> {
        self.part(self.id)
    }
    pub(super) fn params(&self) -> Option<&'a str> {
        self.part(self.params)
    }
    pub(super) fn result(&self) -> Option<&'a str> {
        self.part(self.result)
    }
    pub(super) fn error(&self) -> Option<&'a str> {
        self.part(self.error)
    }
    pub(super) fn thread(&self) -> Option<&'a str> {
        self.part(self.keys.thread)
    }
    pub(super) fn turn(&self) -> Option<&'a str> {
        self.part(self.keys.turn)
    }
    pub(super) fn item(&self) -> Option<&'a str> {
        self.part(self.keys.item)
    }
}

/// The scanner; keeps its stack from line to line.
#[derive(Debug, Default)]
pub(super) struct Scan {
    stack: Vec<u8>,
}

impl Scan {
    /// The message in a line; `None` if the line is not JSON.
    pub(super) fn message<'a>(&mut self, line: &'a [u8]) -> Option<Message<'a>> {
        let text = std::str::from_utf8(line).ok()?;
        let mut message = Message {
            text,
            method: Span::default(),
            id: Span::default(),
            params: Span::default(),
            result: Span::default(),
            error: Span::default(),
            keys: Keys::default(),
        };
        self.stack.clear();
        let mut cursor = Cursor {
            line,
            at: 0,
            stack: &mut self.stack,
        };
        cursor.space();
        if cursor.peek()? == b'{' {
            cursor.envelope(&mut message)?;
        } else {
            cursor.value()?;
        }
        cursor.space();
        (cursor.at == line.len()).then_some(message)
    }
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    /// The closing brackets that are due.
    stack: &'a mut Vec<u8>,
}

impl Cursor<'_> {
    fn envelope(&mut self, message: &mut Message<'_>) -> Option<()> {
        let (mut params, mut result) = (Keys::default(), Keys::default());
        self.object(|s, key, line| {
            match &line[key.range()] {
                b"\"method\"" => message.method = s.only(b'"')?,
                b"\"id\"" => {
                    message.id = match s.peek()? {
                        b'"' | b'-' | b'0'..=b'9' => s.value()?,
                        _ => s.value().map(|_| Span::default())?,
                    }
                }
                b"\"params\"" => (message.params, params) = s.keyed()?,
                b"\"result\"" => (message.result, result) = s.keyed()?,
                b"\"error\"" => message.error = s.value()?,
                _ => drop(s.value()?),
            }
            Some(())
        })?;
        message.keys = params.or(result);
        Some(())
    }

    /// A value and, if it is an object, the routing keys in it: the field itself, else the `id` of
    /// the nested object.
    fn keyed(&mut self) -> Option<(Span, Keys)> {
        let start = self.at;
        let (mut own, mut nested) = (Keys::default(), Keys::default());
        if self.peek()? != b'{' {
            return Some((self.value()?, own));
        }
        self.object(|s, key, line| {
            match &line[key.range()] {
                b"\"threadId\"" => own.thread = s.only(b'"')?,
                b"\"turnId\"" => own.turn = s.only(b'"')?,
                b"\"itemId\"" => own.item = s.only(b'"')?,
                b"\"thread\"" => nested.thread = s.id_of()?,
                b"\"turn\"" => nested.turn = s.id_of()?,
                b"\"item\"" => nested.item = s.id_of()?,
                _ => drop(s.value()?),
            }
            Some(())
        })?;
        Some((Span::new(start, self.at), own.or(nested)))
    }

    /// The `id` of an object such as `params.turn`.
    fn id_of(&mut self) -> Option<Span> {
        let mut id = Span::default();
        if self.peek()? != b'{' {
            self.value()?;
            return Some(id);
        }
        self.object(|s, key, line| {
            match &line[key.range()] {
                b"\"id\"" => id = s.only(b'"')?,
                _ => drop(s.value()?),
            }
            Some(())
        })?;
        Some(id)
    }

    /// A value, which counts only if it begins with `first`.
    fn only(&mut self, first: u8) -> Option<Span> {
        if self.peek()? == first {
            self.value()
        } else {
            self.value().map(|_| Span::default())
        }
    }

    /// Walks the members of the object at the cursor; `each` must consume the value.
    #[inline]
    fn object(&mut self, mut each: impl FnMut(&mut Self, Span, &[u8]) -> Option<()>) -> Option<()> {
        let line = self.line;
        self.expect(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let start = self.at;
            self.string()?;
            let key = Span::new(start, self.at);
            self.colon()?;
            each(self, key, line)?;
            self.space();
            match self.peek()? {
                b',' => {
                    self.at += 1;
                    self.space();
                }
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Passes over any value. Keeps a stack of its own: depth costs no recursion.
    fn value(&mut self) -> Option<Span> {
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                open @ (b'{' | b'[') => {
                    let close = open + 2; // '{' + 2 is '}', '[' + 2 is ']'.
                    self.at += 1;
                    self.space();
                    if self.peek()? == close {
                        self.at += 1;
                    } else {
                        self.stack.push(close);
                        if open == b'{' {
                            self.string()?;
                            self.colon()?;
                        }
                        continue;
                    }
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended: on to the next of its container, or out of as many as end here.
            loop {
                let Some(&close) = self.stack.last() else {
                    return Some(Span::new(start, self.at));
                };
                self.space();
                let next = self.peek()?;
                self.at += 1;
                if next == close {
                    self.stack.pop();
                    continue;
                }
                if next != b',' {
                    return None;
                }
                self.space();
                if close == b'}' {
                    self.string()?;
                    self.colon()?;
                }
                break;
            }
        }
    }

    /// Passes over a string: eight bytes a step up to a quote, a backslash or a control character.
    #[inline]
    fn string(&mut self) -> Option<()> {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const HIGH: u64 = ONES << 7;
        const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
        const SLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
        self.expect(b'"')?;
        loop {
            while let Some((chunk, _)) = self.line.get(self.at..)?.split_first_chunk::<8>() {
                let word = u64::from_le_bytes(*chunk);
                let quote = word ^ QUOTES;
                let slash = word ^ SLASHES;
                // Exact for the lowest byte that is marked, and no other is looked at.
                let marks = (quote.wrapping_sub(ONES) & !quote
                    | slash.wrapping_sub(ONES) & !slash
                    | word.wrapping_sub(ONES * 0x20) & !word)
                    & HIGH;
                if marks != 0 {
                    self.at += marks.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => self.at += 1, // In the last bytes of the line.
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.line.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.line.get(self.at + 2..self.at + 6)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.line.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.line.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.line.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.line.get(self.at) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.line[self.at..]
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.expect(b':')?;
        self.space();
        Some(())
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, b: u8) -> Option<()> {
        (self.peek()? == b).then(|| self.at += 1)
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;

//! The walk over a line: objects, strings, and the keys on the way.

use std::ops::Range;

use super::{Envelope, Mark, Nested, Span};
use crate::json::byte_search::quote_or_escape;

pub(super) struct Scanner<'a> {
    pub(super) line: &'a [u8],
    at: usize,
    pub(super) env: Envelope,
    /// It has a method or an id that nobody could act on.
    odd: bool,
    pub(super) mark: Option<Mark>,
    /// The strings of the envelope that have escapes, without them. They count as standing behind the line.
    pub(super) unescaped: String,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self {
            line,
            at: 0,
            env: Envelope::default(),
            odd: false,
            mark: None,
            unescaped: String::new(),
        }
    }

    pub(super) fn message(&mut self) -> Option<()> {
        self.space();
        self.object(Self::member)?;
        self.end()
    }

    /// The same, for a line that is known up to a mark.
    pub(super) fn resume(&mut self, mark: &Mark) -> Option<()> {
        self.at = mark.at;
        self.env = mark.env;
        let mut nested = mark.nested;
        self.members(|s, key| s.param(key, mark.params, &mut nested))?;
        self.env.params = self.keys(mark.params, nested);
        self.members(Self::member)?;
        self.end()
    }

    fn end(&mut self) -> Option<()> {
        self.space();
        if self.at != self.line.len() {
            return None;
        }
        if self.odd {
            // A method or an id that nobody could act on: hand the line on whole.
            self.env = Envelope {
                params: self.env.params,
                ..Envelope::default()
            };
        }
        Some(())
    }

    /// A member of the message.
    fn member(&mut self, key: &[u8]) -> Option<()> {
        match key {
            b"method" => {
                self.env.method = self.key()?;
                self.odd |= self.env.method.is_empty();
            }
            b"id" => {
                let first = self.peek()?;
                let span = self.value()?;
                // Strings and integers are ids; `null`, floats and the rest are not.
                if first == b'"' || is_integer(&self.line[span.range()]) {
                    self.env.id = span;
                } else {
                    self.odd = true;
                }
            }
            b"params" => self.env.params = self.keyed()?,
            b"result" => {
                let mark = self.mark;
                self.env.result = self.keyed()?;
                self.mark = mark; // A mark is in the params.
            }
            b"error" => self.env.error = self.value()?,
            b"emittedAtMs" => self.env.emitted_at = self.value()?,
            _ => {
                self.value()?;
            }
        }
        Some(())
    }

    /// `params` or `result`: a value whose routing keys are wanted if it is an object.
    fn keyed(&mut self) -> Option<Span> {
        // Of two that have the same name the last one counts.
        let env = &mut self.env;
        [env.thread, env.turn, env.item, env.item_type] = [Span::default(); 4];
        if self.peek()? != b'{' {
            return self.value();
        }
        let start = self.at;
        let mut nested = Nested::default();
        self.object(|s, key| s.param(key, start, &mut nested))?;
        Some(self.keys(start, nested))
    }

    /// A member of the params, which begin at `start`.
    fn param(&mut self, key: &[u8], start: usize, nested: &mut Nested) -> Option<()> {
        match key {
            b"threadId" => self.env.thread = self.key()?,
            b"turnId" => self.env.turn = self.key()?,
            b"itemId" => self.env.item = self.key()?,
            b"thread" => nested[0] = self.nested(None)?.0,
            b"turn" => nested[1] = self.nested(None)?.0,
            b"item" => (nested[2], self.env.item_type) = self.nested(Some(b"type"))?,
            _ => {
                self.value()?;
                return Some(());
            }
        }
        if !self.odd {
            self.mark = Some(Mark {
                at: self.at,
                env: self.env,
                params: start,
                nested: *nested,
            });
        }
        Some(())
    }

    /// The end of the params: direct keys win over nested ones.
    fn keys(&mut self, start: usize, nested: Nested) -> Span {
        let env = &mut self.env;
        for (key, inner) in [&mut env.thread, &mut env.turn, &mut env.item]
            .into_iter()
            .zip(nested)
        {
            if key.is_empty() {
                *key = inner;
            }
        }
        Span::new(start, self.at)
    }

    /// The `id` of an object such as `params.turn`, and another key of it.
    fn nested(&mut self, other: Option<&[u8]>) -> Option<(Span, Span)> {
        let mut found = (Span::default(), Span::default());
        if self.peek()? != b'{' {
            self.value()?;
            return Some(found);
        }
        self.object(|s, key| {
            match key {
                b"id" => found.0 = s.key()?,
                key if Some(key) == other => found.1 = s.key()?,
                _ => {
                    s.value()?;
                }
            }
            Some(())
        })?;
        Some(found)
    }

    /// What a message is routed by: a string, else nothing.
    fn key(&mut self) -> Option<Span> {
        if self.peek()? != b'"' {
            self.value()?;
            return Some(Span::default());
        }
        let (span, escaped) = self.string()?;
        if !escaped {
            return Some(span);
        }
        let Some(text) = self.unescape(span) else {
            return Some(Span::default());
        };
        let start = self.line.len() + self.unescaped.len();
        self.unescaped.push_str(&text);
        Some(Span::new(start, start + text.len()))
    }

    /// What a string with escapes says; `None` if they are none.
    fn unescape(&self, span: Span) -> Option<String> {
        let Range { start, end } = span.range();
        serde_json::from_slice(&self.line[start - 1..=end]).ok()
    }

    /// Walks the members of the object at the cursor; `each` must consume the value.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &[u8]) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        self.one(&mut each)?;
        self.members(each)
    }

    /// Walks the members that follow the one that was just read.
    fn members(&mut self, mut each: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        loop {
            self.space();
            match self.peek()? {
                b',' => {
                    self.at += 1;
                    self.space();
                    self.one(&mut each)?;
                }
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn one(&mut self, each: &mut impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        let (key, escaped) = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        if escaped {
            let key = self.unescape(key).unwrap_or_default();
            return each(self, key.as_bytes());
        }
        let line = self.line;
        each(self, &line[key.range()])
    }

    /// Skips a value of any kind.
    pub(super) fn value(&mut self) -> Option<Span> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => self.container()?,
            _ => {
                let rest = &self.line[start..];
                let end = rest.iter().position(|b| ENDS[usize::from(*b)]);
                self.at = start + end.unwrap_or(rest.len());
                if self.at == start {
                    return None;
                }
            }
        }
        Some(Span::new(start, self.at))
    }

    /// Skips an object or an array. Counts brackets instead of recursing: depth costs nothing.
    fn container(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Some(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Reads a string: its content without the quotes, and whether it has escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Option<(Span, bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += quote_or_escape(self.line.get(self.at..)?)? + 1;
            if self.line[self.at - 1] == b'"' {
                return Some((Span::new(start, self.at - 1), escaped));
            }
            escaped = true;
            self.at += 1;
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, b: u8) -> Option<()> {
        (self.peek()? == b).then(|| self.at += 1)
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
}

/// What ends a number, `true`, `false` or `null`.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut at = 0;
    while at < ENDING.len() {
        ends[ENDING[at] as usize] = true;
        at += 1;
    }
    ends
};
const ENDING: &[u8] = b",}] \t\r\n\"{[:";

pub(super) fn is_integer(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

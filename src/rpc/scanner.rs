//! The walk over a line that finds its envelope: one pass, which copies nothing.
//!
//! A JSON library would judge every token. This checks structure only (strings end, brackets balance, nothing follows the
//! object): what is inside `params` is judged by whoever decodes it. So one odd value costs one event, never the
//! connection, and the walk passes over most of a line at the speed of [`memchr2`].

use std::ops::Range;

use memchr::memchr2;

use super::{
    envelope::{Envelope, MessageKind, Span},
    protocol::{KEYS, Member, Protocol},
};

pub(super) struct Scanner<'a> {
    line: &'a [u8],
    protocol: &'static Protocol,
    at: usize,
    pub(super) env: Envelope,
    /// The line has a method or an id that nobody could act on.
    odd: bool,
    pub(super) mark: Option<Mark>,
    /// The strings of the envelope that have escapes, without them. Their spans count them as appended to the line.
    pub(super) unescaped: String,
}

/// What is known after a routing key: it depends on nothing that follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: usize,
    env: Envelope,
    /// Where the params begin.
    params: usize,
    nested: Nested,
}

/// The routing keys that stand in objects of the params.
type Nested = [Span; KEYS];

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a [u8], protocol: &'static Protocol) -> Self {
        Self {
            line,
            protocol,
            at: 0,
            env: Envelope::default(),
            odd: false,
            mark: None,
            unescaped: String::new(),
        }
    }

    /// Reads a whole message; `None` if the line is not one JSON object.
    pub(super) fn message(&mut self) -> Option<()> {
        self.space();
        self.object(Self::member)?;
        self.end()
    }

    /// Like [`message`](Self::message), for a line that is known up to a mark.
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
            key if key == self.protocol.sent_at.as_bytes() => self.env.sent_at = self.value()?,
            _ => {
                self.value()?;
            }
        }
        Some(())
    }

    /// `params` or `result`: a value whose routing keys are wanted if it is an object.
    fn keyed(&mut self) -> Option<Span> {
        // Of two members with the same name the last one counts.
        self.env.keys = [Span::default(); KEYS];
        if self.peek()? != b'{' {
            return self.value();
        }
        let start = self.at;
        let mut nested = Nested::default();
        self.object(|s, key| s.param(key, start, &mut nested))?;
        Some(self.keys(start, nested))
    }

    /// A member of the params, which begin at `start`.
    fn param(&mut self, name: &[u8], start: usize, nested: &mut Nested) -> Option<()> {
        match self.protocol.member(name) {
            Some(Member::Key(key)) => self.env.keys[key] = self.key()?,
            Some(Member::Object(members)) => self.nested(members, nested)?,
            None => {
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
        for (key, inner) in self.env.keys.iter_mut().zip(nested) {
            if key.is_empty() {
                *key = inner;
            }
        }
        Span::new(start, self.at)
    }

    /// The keys in an object of the params.
    fn nested(&mut self, members: &[(&str, usize)], found: &mut Nested) -> Option<()> {
        for (_, key) in members {
            found[*key] = Span::default();
        }
        if self.peek()? != b'{' {
            self.value()?;
            return Some(());
        }
        self.object(|s, name| {
            match members.iter().find(|(known, _)| known.as_bytes() == name) {
                Some((_, key)) => found[*key] = s.key()?,
                None => drop(s.value()?),
            }
            Some(())
        })
    }

    /// A routing key or a method: a string, else nothing.
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
    fn object(&mut self, mut each: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
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
    fn value(&mut self) -> Option<Span> {
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
    #[inline] // Called for each key and each string.
    fn string(&mut self) -> Option<(Span, bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += memchr2(b'"', b'\\', self.line.get(self.at..)?)? + 1;
            if self.line[self.at - 1] == b'"' {
                return Some((Span::new(start, self.at - 1), escaped));
            }
            escaped = true;
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, b: u8) -> Option<()> {
        (self.peek()? == b).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
}

/// Reads the beginning of a line that was too long to keep: whether it is an answer or a request, and its id. Only what
/// stands before the long part is known; what that does not settle is malformed.
pub(super) fn scan_head(head: &str, protocol: &'static Protocol) -> (MessageKind, Envelope) {
    let mut env = Envelope::default();
    let mut kind = MessageKind::Malformed;
    let mut scanner = Scanner::new(head.as_bytes(), protocol);
    scanner.space();
    // The walk ends with `None` where the line is cut, at the latest.
    let _ = scanner.object(|s, key| {
        match key {
            b"method" if s.peek()? == b'"' => env.method = s.string()?.0,
            b"id" => {
                let is_text = s.peek()? == b'"';
                let span = s.value()?;
                s.peek()?; // A number that the cut may have shortened is not known.
                if is_text || is_integer(&s.line[span.range()]) {
                    env.id = span;
                }
            }
            b"params" if !env.id.is_empty() && !env.method.is_empty() => {
                kind = MessageKind::Request;
                return None;
            }
            b"result" | b"error" if !env.id.is_empty() => {
                kind = MessageKind::Response;
                return None;
            }
            _ => drop(s.value()?),
        }
        Some(())
    });
    (kind, env)
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

fn is_integer(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

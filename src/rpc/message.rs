//! The envelope: one lenient pass over a line finds what routing needs, and copies nothing.
//!
//! The pass checks structure (strings end, brackets balance, nothing follows the object) but not every token: what is
//! inside `params` is judged by whoever decodes it. So one odd value costs one event, never the connection.

use std::{
    any::Any,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
    time::Instant,
};

use memchr::memchr2;

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A method without an id.
    Notification,
    /// A method with an id: the server waits for an answer.
    Request,
    /// An id without a method, with a result or an error.
    Response,
    /// A JSON object that is none of these.
    Unknown,
    /// Not a JSON object, not UTF-8 (then `raw` has replacement characters), or too long (then `raw` is its beginning).
    Malformed,
}

/// A stretch of the line; empty if absent. Lines are shorter than 4 GiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the line limit is below 4 GiB"
    )]
    fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn of(self, line: &str) -> Option<&str> {
        if self.is_empty() {
            None
        } else {
            line.get(self.range())
        }
    }
}

/// Where the parts of a message stand in its line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Envelope {
    method: Span,
    id: Span,
    params: Span,
    result: Span,
    error: Span,
    emitted_at: Span,
    thread: Span,
    turn: Span,
    item: Span,
    item_type: Span,
}

/// A line from the server with its envelope, shared by all who receive it.
#[derive(Clone)]
pub(crate) struct Incoming(Arc<Inner>);

struct Inner {
    seq: u64,
    received_at: Instant,
    kind: Kind,
    env: Envelope,
    raw: Box<str>,
    /// The decoded value, made by the first who asks for it.
    memo: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Incoming {
    pub(crate) fn new(
        seq: u64,
        received_at: Instant,
        raw: Box<str>,
        kind: Kind,
        env: Envelope,
    ) -> Self {
        Self(Arc::new(Inner {
            seq,
            received_at,
            kind,
            env,
            raw,
            memo: OnceLock::new(),
        }))
    }

    pub(crate) fn seq(&self) -> u64 {
        self.0.seq
    }
    pub(crate) fn received_at(&self) -> Instant {
        self.0.received_at
    }
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }
    pub(crate) fn raw(&self) -> &str {
        &self.0.raw
    }
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            line: &self.0.raw,
            env: self.0.env,
        }
    }
    pub(crate) fn memo<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        // Not `get_or_init`: readers of the same event on two threads would park, which costs more than to decode twice.
        if self.0.memo.get().is_none() {
            let _ = self.0.memo.set(Box::new(make()));
        }
        self.0.memo.get()?.downcast_ref()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the text: it may hold a token.
        f.debug_struct("Incoming")
            .field("seq", &self.0.seq)
            .field("kind", &self.0.kind)
            .field("method", &self.parts().method())
            .finish_non_exhaustive()
    }
}

/// A line and its envelope, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    line: &'a str,
    env: Envelope,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(line: &'a str, env: Envelope) -> Self {
        Self { line, env }
    }
    pub(crate) fn method(&self) -> Option<&'a str> {
        self.env.method.of(self.line)
    }
    /// The id as it stands on the wire: `7`, `"a"`.
    pub(crate) fn id(&self) -> Option<&'a str> {
        self.env.id.of(self.line)
    }
    pub(crate) fn params(&self) -> Option<&'a str> {
        self.env.params.of(self.line)
    }
    pub(crate) fn error(&self) -> Option<&'a str> {
        self.env.error.of(self.line)
    }
    pub(crate) fn result_range(&self) -> Range<usize> {
        self.env.result.range()
    }
    /// Milliseconds since the epoch.
    pub(crate) fn emitted_at_ms(&self) -> Option<u64> {
        self.env.emitted_at.of(self.line)?.parse().ok()
    }
    pub(crate) fn thread(&self) -> Option<&'a str> {
        self.env.thread.of(self.line)
    }
    pub(crate) fn turn(&self) -> Option<&'a str> {
        self.env.turn.of(self.line)
    }
    pub(crate) fn item(&self) -> Option<&'a str> {
        self.env.item.of(self.line)
    }
    pub(crate) fn item_type(&self) -> Option<&'a str> {
        self.env.item_type.of(self.line)
    }
}

/// Reads the envelope of a line.
pub(crate) fn scan(line: &str) -> (Kind, Envelope) {
    let mut env = Envelope::default();
    if (Scanner {
        line: line.as_bytes(),
        at: 0,
    })
    .message(&mut env)
    .is_none()
    {
        return (Kind::Malformed, Envelope::default());
    }
    let has = |s: Span| !s.is_empty();
    let kind = match (has(env.method), has(env.id)) {
        (true, false) => Kind::Notification,
        (true, true) => Kind::Request,
        (false, true) if has(env.result) || has(env.error) => Kind::Response,
        (false, _) => Kind::Unknown,
    };
    (kind, env)
}

struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn message(&mut self, env: &mut Envelope) -> Option<()> {
        let mut odd = false;
        self.space();
        self.object(|s, key, line| {
            match &line[key.range()] {
                b"method" => {
                    if s.peek()? == b'"' {
                        let (span, escaped) = s.string()?;
                        odd |= escaped || span.is_empty();
                        env.method = span;
                    } else {
                        odd = true;
                        s.value()?;
                    }
                }
                b"id" => {
                    let first = s.peek()?;
                    let span = s.value()?;
                    // Strings and integers are ids; `null`, floats and the rest are not.
                    if first == b'"' || is_integer(&line[span.range()]) {
                        env.id = span;
                    } else {
                        odd = true;
                    }
                }
                b"params" => env.params = s.keyed(env)?,
                b"result" => env.result = s.keyed(env)?,
                b"error" => env.error = s.value()?,
                b"emittedAtMs" => env.emitted_at = s.value()?,
                _ => {
                    s.value()?;
                }
            }
            Some(())
        })?;
        self.space();
        if self.at != self.line.len() {
            return None;
        }
        if odd {
            // A method or an id that nobody could act on: hand the line on whole.
            *env = Envelope {
                params: env.params,
                ..Envelope::default()
            };
        }
        Some(())
    }

    /// `params` or `result`: a value whose routing keys are wanted if it is an object.
    fn keyed(&mut self, env: &mut Envelope) -> Option<Span> {
        if self.peek()? != b'{' {
            return self.value();
        }
        let start = self.at;
        let mut nested = [Span::default(); 3];
        self.object(|s, key, line| {
            match &line[key.range()] {
                b"threadId" => s.key(&mut env.thread)?,
                b"turnId" => s.key(&mut env.turn)?,
                b"itemId" => s.key(&mut env.item)?,
                b"thread" => s.nested(&mut nested[0], None)?,
                b"turn" => s.nested(&mut nested[1], None)?,
                b"item" => s.nested(&mut nested[2], Some(&mut env.item_type))?,
                _ => {
                    s.value()?;
                }
            }
            Some(())
        })?;
        for (key, inner) in [&mut env.thread, &mut env.turn, &mut env.item]
            .into_iter()
            .zip(nested)
        {
            if key.is_empty() {
                *key = inner;
            }
        }
        Some(Span::new(start, self.at))
    }

    /// The `id` (and the `type`) of an object such as `params.turn`.
    fn nested(&mut self, id: &mut Span, mut kind: Option<&mut Span>) -> Option<()> {
        if self.peek()? != b'{' {
            self.value()?;
            return Some(());
        }
        self.object(
            |s, key, line| match (&line[key.range()], kind.as_deref_mut()) {
                (b"id", _) => s.key(id),
                (b"type", Some(kind)) => s.key(kind),
                _ => s.value().map(drop),
            },
        )
    }

    /// A routing key: a plain string, else nothing.
    fn key(&mut self, out: &mut Span) -> Option<()> {
        if self.peek()? == b'"' {
            let (span, escaped) = self.string()?;
            if !escaped {
                *out = span;
            }
        } else {
            self.value()?;
        }
        Some(())
    }

    /// Walks the members of the object at the cursor; `each` must consume the value.
    fn object(&mut self, mut each: impl FnMut(&mut Self, Span, &[u8]) -> Option<()>) -> Option<()> {
        let line = self.line;
        if self.peek()? != b'{' {
            return None;
        }
        self.at += 1;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let (key, _) = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
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

    /// Skips a value of any kind.
    fn value(&mut self) -> Option<Span> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => self.container()?,
            _ => {
                while let Some(b) = self.line.get(self.at) {
                    if matches!(
                        b,
                        b',' | b'}'
                            | b']'
                            | b' '
                            | b'\t'
                            | b'\r'
                            | b'\n'
                            | b'"'
                            | b'{'
                            | b'['
                            | b':'
                    ) {
                        break;
                    }
                    self.at += 1;
                }
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
    fn string(&mut self) -> Option<(Span, bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let found = memchr2(b'"', b'\\', self.line.get(self.at..)?)?;
            self.at += found + 1;
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

fn is_integer(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> (Kind, Parts<'_>) {
        let (kind, env) = scan(line);
        (kind, Parts { line, env })
    }

    #[test]
    fn a_notification_shows_its_method_params_and_routing_keys() {
        let (kind, p) = parts(
            r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"i-1","x":{"id":"no"}},"threadId":"t","turnId":"u"},"emittedAtMs":17}"#,
        );
        assert_eq!(kind, Kind::Notification);
        assert_eq!(p.method(), Some("item/completed"));
        assert_eq!(
            (p.thread(), p.turn(), p.item()),
            (Some("t"), Some("u"), Some("i-1"))
        );
        assert_eq!(p.item_type(), Some("agentMessage"));
        assert_eq!(p.emitted_at_ms(), Some(17));
        assert!(p.params().unwrap().starts_with("{\"item\""));
    }

    #[test]
    fn a_direct_key_wins_over_a_nested_one_in_any_order() {
        for line in [
            r#"{"method":"m","params":{"turn":{"id":"nested"},"turnId":"direct"}}"#,
            r#"{"method":"m","params":{"turnId":"direct","turn":{"id":"nested"}}}"#,
        ] {
            assert_eq!(parts(line).1.turn(), Some("direct"));
        }
        assert_eq!(
            parts(r#"{"method":"m","params":{"turn":{"a":[1,"}"],"id":"n"}}}"#)
                .1
                .turn(),
            Some("n")
        );
    }

    #[test]
    fn requests_and_responses_are_told_apart_by_the_method() {
        assert_eq!(
            parts(r#"{"id":0,"method":"m","params":null}"#).0,
            Kind::Request
        );
        assert_eq!(parts(r#"{"id":0,"result":{}}"#).0, Kind::Response);
        assert_eq!(
            parts(r#" { "error" : {"code":-1} , "id" : "a" } "#).1.id(),
            Some("\"a\"")
        );
        assert_eq!(parts(r#"{"error":{"code":-1},"id":"a"}"#).0, Kind::Response);
        assert_eq!(parts(r#"{"id":1}"#).0, Kind::Unknown);
        assert_eq!(parts("{}").0, Kind::Unknown);
    }

    #[test]
    fn ids_that_cannot_be_answered_and_odd_methods_make_an_unknown_message() {
        for line in [
            r#"{"id":null,"method":"m"}"#,
            r#"{"id":1.5,"method":"m"}"#,
            r#"{"id":true,"result":1}"#,
            r#"{"id":{},"method":"m"}"#,
            r#"{"method":5}"#,
            r#"{"method":"","params":{}}"#,
            r#"{"method":"a\/b"}"#,
        ] {
            assert_eq!(parts(line).0, Kind::Unknown, "{line}");
        }
    }

    #[test]
    fn big_integers_are_ids_and_kept_to_the_letter() {
        let (kind, p) = parts(r#"{"id":99999999999999999999999,"method":"m"}"#);
        assert_eq!(
            (kind, p.id()),
            (Kind::Request, Some("99999999999999999999999"))
        );
    }

    #[test]
    fn what_is_not_one_json_object_is_malformed() {
        for line in [
            "",
            " ",
            "[]",
            "hello",
            "{",
            r#"{"a"}"#,
            r#"{"a":1"#,
            r#"{"a":"x}"#,
            r#"{"a":1} x"#,
            r#"{"a":}"#,
            "{,}",
            r#"{"a":"\"}"#,
            "{\"a\":[1}",
        ] {
            assert_eq!(parts(line).0, Kind::Malformed, "{line}");
        }
    }

    #[test]
    fn wrong_types_in_routing_keys_are_no_keys() {
        let (kind, p) = parts(
            r#"{"method":"m","params":{"threadId":5,"turnId":null,"item":[1],"turn":"x","thread":{"id":{}}}}"#,
        );
        assert_eq!(kind, Kind::Notification);
        assert_eq!((p.thread(), p.turn(), p.item()), (None, None, None));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!(
            r#"{{"method":"m","params":{}{}}}"#,
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        assert_eq!(parts(&deep).0, Kind::Notification);
    }
}

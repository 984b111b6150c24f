//! The envelope: one lenient pass over a line finds what routing needs, and copies nothing.
//!
//! The pass checks structure (strings end, brackets balance, nothing follows the object) but not every token: what is
//! inside `params` is judged by whoever decodes it. So one odd value costs one event, never the connection.

use std::ops::Range;

use memchr::memchr2;

use super::message::Kind;

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

    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(super) fn of(self, line: &str) -> Option<&str> {
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
    pub(super) method: Span,
    pub(super) id: Span,
    pub(super) params: Span,
    pub(super) result: Span,
    pub(super) error: Span,
    pub(super) emitted_at: Span,
    pub(super) thread: Span,
    pub(super) turn: Span,
    pub(super) item: Span,
    pub(super) item_type: Span,
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

/// What the beginning of a line tells that was too long to keep: whether it is an answer or a request, with its id. Only
/// what stands before the long part is known; what that does not settle is malformed.
pub(crate) fn scan_head(head: &str) -> (Kind, Envelope) {
    let mut env = Envelope::default();
    let mut kind = Kind::Malformed;
    let mut scanner = Scanner {
        line: head.as_bytes(),
        at: 0,
    };
    scanner.space();
    // It ends with `None` at the latest where the line is cut.
    let _ = scanner.object(|s, key, line| {
        match &line[key.range()] {
            b"method" if s.peek()? == b'"' => env.method = s.string()?.0,
            b"id" => {
                let is_text = s.peek()? == b'"';
                let span = s.value()?;
                s.peek()?; // A number that the cut may have shortened is not known.
                if is_text || is_integer(&line[span.range()]) {
                    env.id = span;
                }
            }
            b"params" if !env.id.is_empty() && !env.method.is_empty() => {
                kind = Kind::Request;
                return None;
            }
            b"result" | b"error" if !env.id.is_empty() => {
                kind = Kind::Response;
                return None;
            }
            _ => drop(s.value()?),
        }
        Some(())
    });
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
        // Of two that have the same name the last one counts.
        [env.thread, env.turn, env.item, env.item_type] = [Span::default(); 4];
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
        *id = Span::default();
        if let Some(kind) = &mut kind {
            **kind = Span::default();
        }
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
        *out = Span::default();
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
    use crate::rpc::message::Parts;

    fn parts(line: &str) -> (Kind, Parts<'_>) {
        let (kind, env) = scan(line);
        (kind, Parts::new(line, env))
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
    fn the_beginning_of_a_long_line_tells_who_waits_for_it() {
        let head = |line| {
            let (kind, env) = scan_head(line);
            (kind, Parts::new(line, env).id())
        };
        for (line, told) in [
            (r#"{"id":7,"result":{"a":"#, (Kind::Response, Some("7"))),
            (r#"{"id":7,"error":{"a"#, (Kind::Response, Some("7"))),
            (
                r#"{"x":[1],"id":"a\"","method":"m","params":{"#,
                (Kind::Request, Some(r#""a\"""#)),
            ),
            (
                r#"{"method":"m","id":7,"params":"#,
                (Kind::Request, Some("7")),
            ),
            // What was cut off might say otherwise.
            (r#"{"method":"m","params":{"#, (Kind::Malformed, None)),
            (r#"{"id":7"#, (Kind::Malformed, None)),
            (r#"{"result":{"id":7},"id":7"#, (Kind::Malformed, None)),
            (r#"{"id":null,"result":{"#, (Kind::Malformed, None)),
            (r#"{"params":{"id":7,"result":1"#, (Kind::Malformed, None)),
            ("xxxxxx", (Kind::Malformed, None)),
        ] {
            assert_eq!(head(line), told, "{line}");
        }
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

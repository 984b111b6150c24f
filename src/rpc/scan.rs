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
#[cfg(test)]
pub(crate) fn scan(line: &str) -> (Kind, Envelope) {
    let Scanned { kind, env, .. } = Scan::default().next(line);
    (kind, env)
}

/// Reads the envelopes of line after line.
///
/// In a flood most lines begin like the one before, up to their last routing key. Comparing that much is far less work
/// than reading it, so the reading goes on from there.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// How the line before began, up to the mark.
    begin: Vec<u8>,
    mark: Option<Mark>,
    /// What the line before was in the end.
    kind: Option<Kind>,
    keys: Keys,
}

/// What was found in a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanned {
    pub(crate) kind: Kind,
    pub(crate) env: Envelope,
    /// It is of the same kind as the line before, and has the same method and the same routing keys.
    pub(crate) same: bool,
}

/// What is known after a routing key: it depends on nothing that follows.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: usize,
    env: Envelope,
    /// Where the params begin.
    params: usize,
    nested: Nested,
}

/// The ids in `thread`, `turn` and `item`.
type Nested = [Span; 3];
type Keys = [Span; 5];

impl Scan {
    pub(crate) fn next(&mut self, line: &str) -> Scanned {
        let bytes = line.as_bytes();
        let mut scanner = Scanner::new(bytes);
        let known = self.mark.filter(|_| bytes.starts_with(&self.begin));
        let whole = match &known {
            Some(mark) => scanner.resume(mark),
            None => scanner.message(),
        };
        let env = match whole {
            Some(()) => scanner.env,
            None => Envelope::default(),
        };
        let kind = match whole {
            Some(()) => env.kind(),
            None => Kind::Malformed,
        };
        let same = known.is_some() && self.kind == Some(kind) && self.keys == env.keys();
        if !same {
            // NB. `same` is by the line before, so what is kept must be of the line before.
            self.mark = None;
            if let (None, Some(mark)) = (known, scanner.mark)
                && env.keys().iter().all(|key| key.range().end <= mark.at)
            {
                self.begin.clear();
                self.begin.extend_from_slice(&bytes[..mark.at]);
                self.mark = Some(mark);
                self.kind = Some(kind);
                self.keys = env.keys();
            }
        }
        Scanned { kind, env, same }
    }
}

impl Envelope {
    fn kind(&self) -> Kind {
        let has = |s: Span| !s.is_empty();
        match (has(self.method), has(self.id)) {
            (true, false) => Kind::Notification,
            (true, true) => Kind::Request,
            (false, true) if has(self.result) || has(self.error) => Kind::Response,
            (false, _) => Kind::Unknown,
        }
    }

    /// All that a message is routed by.
    fn keys(&self) -> Keys {
        [
            self.method,
            self.thread,
            self.turn,
            self.item,
            self.item_type,
        ]
    }
}

struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
    env: Envelope,
    /// It has a method or an id that nobody could act on.
    odd: bool,
    mark: Option<Mark>,
}

impl<'a> Scanner<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self {
            line,
            at: 0,
            env: Envelope::default(),
            odd: false,
            mark: None,
        }
    }

    fn message(&mut self) -> Option<()> {
        self.space();
        self.object(Self::member)?;
        self.end()
    }

    /// The same, for a line that is known up to a mark.
    fn resume(&mut self, mark: &Mark) -> Option<()> {
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
    fn member(&mut self, key: Span) -> Option<()> {
        match &self.line[key.range()] {
            b"method" => {
                if self.peek()? == b'"' {
                    let (span, escaped) = self.string()?;
                    self.odd |= escaped || span.is_empty();
                    self.env.method = span;
                } else {
                    self.odd = true;
                    self.value()?;
                }
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
        if self.peek()? != b'{' {
            return self.value();
        }
        let start = self.at;
        let mut nested = Nested::default();
        self.object(|s, key| s.param(key, start, &mut nested))?;
        Some(self.keys(start, nested))
    }

    /// A member of the params, which begin at `start`.
    fn param(&mut self, key: Span, start: usize, nested: &mut Nested) -> Option<()> {
        match &self.line[key.range()] {
            b"threadId" => self.env.thread = self.key(self.env.thread)?,
            b"turnId" => self.env.turn = self.key(self.env.turn)?,
            b"itemId" => self.env.item = self.key(self.env.item)?,
            b"thread" => nested[0] = self.nested(nested[0], false)?,
            b"turn" => nested[1] = self.nested(nested[1], false)?,
            b"item" => nested[2] = self.nested(nested[2], true)?,
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

    /// The `id` of an object such as `params.turn`; its `type` too, if it is that of an item.
    fn nested(&mut self, mut id: Span, is_item: bool) -> Option<Span> {
        if self.peek()? != b'{' {
            self.value()?;
            return Some(id);
        }
        self.object(|s, key| {
            match &s.line[key.range()] {
                b"id" => id = s.key(id)?,
                b"type" if is_item => s.env.item_type = s.key(s.env.item_type)?,
                _ => {
                    s.value()?;
                }
            }
            Some(())
        })?;
        Some(id)
    }

    /// A routing key: a plain string, else what was there.
    fn key(&mut self, before: Span) -> Option<Span> {
        if self.peek()? != b'"' {
            self.value()?;
            return Some(before);
        }
        let (span, escaped) = self.string()?;
        Some(if escaped { before } else { span })
    }

    /// Walks the members of the object at the cursor; `each` must consume the value.
    fn object(&mut self, mut each: impl FnMut(&mut Self, Span) -> Option<()>) -> Option<()> {
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
    fn members(&mut self, mut each: impl FnMut(&mut Self, Span) -> Option<()>) -> Option<()> {
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

    fn one(&mut self, each: &mut impl FnMut(&mut Self, Span) -> Option<()>) -> Option<()> {
        let (key, _) = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        each(self, key)
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
    #[inline]
    fn string(&mut self) -> Option<(Span, bool)> {
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

/// Where the first quote or backslash is.
///
/// Most strings of a message are short: eight bytes at a time are then less work than the call of a vectorized search.
#[inline]
fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    /// The high bit of each byte that is zero; those after the first one may be wrong.
    fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & TOPS
    }
    let mut at = 0;
    while at < 40 {
        let Some(word) = bytes[at..].first_chunk() else {
            break;
        };
        let word = u64::from_le_bytes(*word);
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', &bytes[at..]).map(|found| at + found)
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
    fn depth_costs_no_stack() {
        let deep = format!(
            r#"{{"method":"m","params":{}{}}}"#,
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        assert_eq!(parts(&deep).0, Kind::Notification);
    }

    #[test]
    fn a_line_reads_the_same_whatever_came_before_it() {
        let lines = [
            r#"{"method":"m","params":{"threadId":"t","turnId":"u","delta":"a"}}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u","delta":"a \" quoted one"},"emittedAtMs":1}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u","itemId":"i"}}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u","threadId":"other"}}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u"},"method":"n"}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u"},"method":""}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u"},"id":7}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u","turn":{"id":"v"}}}"#,
            r#"{"method":"m","params":{"turn":{"id":"v"},"threadId":"t","x":{}}}"#,
            r#"{"method":"m","params":{"turn":{"id":"v"},"threadId":"t","turnId":"u"}}"#,
            r#"{"method":"m","params":{"item":{"id":"i","type":"x"},"threadId":"t"}}"#,
            r#"{"method":"m","params":{"item":{"id":"i","type":"y"},"threadId":"t"}}"#,
            r#"{"params":{"threadId":"t","turnId":"u"},"method":"m"}"#,
            r#"{"params":{"threadId":"t","turnId":"u"},"method":"n"}"#,
            r#"{"params":{"threadId":"t","turnId":"u"},"params":{"a":1},"method":"n"}"#,
            r#"{"method":5,"params":{"threadId":"t"}}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u","delta":"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u"]}"#,
            r#"{"method":"m","params":{"threadId":"t","turnId":"u"}} x"#,
            r#"{"id":1,"result":{"thread":{"id":"t"}}}"#,
            r#"{"id":2,"result":{"thread":{"id":"t"}}}"#,
            "{}",
            "x",
        ];
        let words = |line: &str, env: Envelope| {
            let p = Parts::new(line, env);
            let all = [
                p.method(),
                p.id(),
                p.params(),
                p.error(),
                p.thread(),
                p.turn(),
                p.item(),
                p.item_type(),
            ];
            (
                all.map(|part| part.map(str::to_owned)),
                p.emitted_at_ms(),
                p.result_range(),
            )
        };
        for first in lines {
            for second in lines {
                let mut scan = super::Scan::default();
                for line in [first, first, second, second, first] {
                    let (kind, env) = super::scan(line);
                    let got = scan.next(line);
                    assert_eq!(got.kind, kind, "{line} after {first}");
                    assert_eq!(
                        words(line, got.env),
                        words(line, env),
                        "{line} after {first}"
                    );
                }
                // What is called the same is the same.
                let mut scan = super::Scan::default();
                let one = scan.next(first);
                let two = scan.next(second);
                if two.same {
                    let keys =
                        |line: &'static str, s: Scanned| s.env.keys().map(|key| key.of(line));
                    assert_eq!(
                        (one.kind, keys(first, one)),
                        (two.kind, keys(second, two)),
                        "{first} {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn lines_that_begin_alike_are_known_to_go_where_the_last_one_went() {
        let mut scan = super::Scan::default();
        let line = |text: &str| {
            format!(r#"{{"method":"m","params":{{"threadId":"t","turnId":"u","delta":"{text}"}}}}"#)
        };
        let same: Vec<_> = ["a", "b", "c"]
            .iter()
            .map(|text| scan.next(&line(text)).same)
            .collect();
        assert_eq!(same, [false, true, true]);
        assert!(!scan.next(r#"{"method":"n"}"#).same);
        assert!(!scan.next(&line("d")).same, "what was between is forgotten");
    }

    #[test]
    fn a_quote_is_found_wherever_it_stands() {
        for len in 0..100 {
            let mut text = vec![b'x'; len];
            assert_eq!(quote_or_escape(&text), None);
            // These differ from what is looked for in one bit.
            for near in [b'#', b'!', b'\\' + 1, b'\\' - 1, 0xdc, 0xa2, 0, 0x80, 0xff] {
                text.fill(near);
                assert_eq!(quote_or_escape(&text), None, "{near}");
                for at in 0..len {
                    for wanted in [b'"', b'\\'] {
                        text[at] = wanted;
                        assert_eq!(quote_or_escape(&text), Some(at));
                        text[at] = near;
                    }
                }
            }
        }
    }
}

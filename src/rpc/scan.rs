//! The envelope: one lenient pass over a line finds what routing needs, and copies nothing.
//!
//! The pass checks structure (strings end, brackets balance, nothing follows the object) but not every token: what is
//! inside `params` is judged by whoever decodes it. So one odd value costs one event, never the connection.

#[path = "scanner.rs"]
mod scanner;

use std::ops::Range;

use self::scanner::{Scanner, is_integer};
use super::message::Kind;

/// A stretch of the line, or of what stands behind it; empty if absent. Lines are shorter than 4 GiB.
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
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) kind: Kind,
    pub(crate) env: Envelope,
    /// It is of the same kind as the line before, and has the same method and the same routing keys.
    pub(crate) same: bool,
    /// What the envelope names that has escapes in the line: to be put behind it, without them.
    pub(crate) unescaped: String,
}

impl Scanned {
    /// What is like no other line.
    pub(crate) fn odd(kind: Kind, env: Envelope) -> Self {
        Self {
            kind,
            env,
            same: false,
            unescaped: String::new(),
        }
    }
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
        let known = match &self.mark {
            Some(mark) if bytes.starts_with(&self.begin) => Some(scanner.resume(mark)),
            _ => None,
        };
        let whole = known.unwrap_or_else(|| scanner.message());
        if whole.is_none() {
            scanner.env = Envelope::default();
            scanner.mark = None;
            scanner.unescaped.clear();
        }
        let env = scanner.env;
        let kind = match whole {
            Some(()) => env.kind(),
            None => Kind::Malformed,
        };
        let keys = env.keys();
        let same = known.is_some() && self.kind == Some(kind) && self.keys == keys;
        if !same {
            // NB. `same` is by the line before, so what is kept must be of the line before.
            self.mark = None;
            if let (None, Some(mark)) = (known, scanner.mark)
                && keys.iter().all(|key| key.range().end <= mark.at)
            {
                self.begin.clear();
                self.begin.extend_from_slice(&bytes[..mark.at]);
                self.mark = Some(mark);
                self.kind = Some(kind);
                self.keys = keys;
            }
        }
        Scanned {
            kind,
            env,
            same,
            unescaped: scanner.unescaped,
        }
    }
}

impl Envelope {
    /// The envelope of a late answer: with the method of the request, which stands behind the line.
    pub(super) fn of_late(mut self, method: Range<usize>) -> Self {
        self.method = Span::new(method.start, method.end);
        self
    }

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

/// What the beginning of a line tells that was too long to keep: whether it is an answer or a request, with its id. Only
/// what stands before the long part is known; what that does not settle is malformed.
pub(crate) fn scan_head(head: &str) -> (Kind, Envelope) {
    let mut env = Envelope::default();
    let mut kind = Kind::Malformed;
    let mut scanner = Scanner::new(head.as_bytes());
    scanner.space();
    // It ends with `None` at the latest where the line is cut.
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

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;

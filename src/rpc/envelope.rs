//! The envelope of a line: what it is, and where its parts stand.

use std::ops::Range;

use super::protocol::{KEYS, Keys, Subject};

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageKind {
    /// A method without an id.
    Notification,
    /// A method with an id: the server waits for an answer.
    Request,
    /// An id without a method, with a result or an error. An event only where no request of this client had the id.
    Response,
    /// A JSON object that is none of these.
    Unknown,
    /// Not a JSON object, or longer than the limit (then `raw` is its beginning).
    Malformed,
    /// The answer to a request of this client that was given up before it came: its deadline had passed, or it was
    /// dropped. Its method is that of the request. The server has carried the request out.
    LateResponse,
}

/// A stretch of the line, or of what is appended to it; empty if absent. Lines are shorter than 4 GiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the line limit is below 4 GiB"
    )]
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(super) fn range(self) -> Range<usize> {
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
pub(super) struct Envelope {
    pub(super) method: Span,
    pub(super) id: Span,
    pub(super) params: Span,
    pub(super) result: Span,
    pub(super) error: Span,
    pub(super) sent_at: Span,
    pub(super) keys: [Span; KEYS],
}

impl Envelope {
    pub(super) fn kind(&self) -> MessageKind {
        let has = |s: Span| !s.is_empty();
        match (has(self.method), has(self.id)) {
            (true, false) => MessageKind::Notification,
            (true, true) => MessageKind::Request,
            (false, true) if has(self.result) || has(self.error) => MessageKind::Response,
            (false, _) => MessageKind::Unknown,
        }
    }

    /// The envelope of a late answer: its method is the request's, which is appended to the line.
    pub(super) fn of_late(mut self, method: Range<usize>) -> Self {
        self.method = Span::new(method.start, method.end);
        self
    }
}

/// A line, and appended to it what its envelope names that does not stand in it: strings without their escapes, and the
/// method that an answer is to.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) all: &'a str,
    /// The length of the line.
    len: usize,
}

impl<'a> Text<'a> {
    /// A line with nothing appended.
    pub(super) fn new(line: &'a str) -> Self {
        Self::appended(line, line.len())
    }

    /// A line of this length with something appended.
    pub(super) fn appended(all: &'a str, len: usize) -> Self {
        Self { all, len }
    }

    pub(super) fn line(&self) -> &'a str {
        &self.all[..self.len]
    }

    pub(super) fn is_appended(&self) -> bool {
        self.len < self.all.len()
    }
}

/// A line and its envelope, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    line: &'a str,
    env: Envelope,
}

impl<'a> Parts<'a> {
    pub(super) fn new(line: &'a str, env: Envelope) -> Self {
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
    /// When the server sent it, in milliseconds since the epoch.
    pub(crate) fn sent_at(&self) -> Option<u64> {
        self.env.sent_at.of(self.line)?.parse().ok()
    }
    /// The routing key with this number.
    pub(crate) fn key(&self, key: usize) -> Option<&'a str> {
        self.env.keys[key].of(self.line)
    }
    pub(super) fn subject(&self) -> Subject<'a> {
        [self.key(0), self.key(1)]
    }
    pub(super) fn keys(&self) -> Keys<'a> {
        self.env.keys.map(|key| key.of(self.line))
    }
}

/// What a filter may look at. Messages that agree in it go to the same subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Route<'a> {
    pub(crate) kind: MessageKind,
    pub(crate) method: Option<&'a str>,
    pub(crate) keys: Keys<'a>,
}

impl<'a> Route<'a> {
    pub(super) fn of(kind: MessageKind, parts: &Parts<'a>) -> Self {
        Self {
            kind,
            method: parts.method(),
            keys: parts.keys(),
        }
    }

    /// The route of a message of which only the subject is known.
    pub(super) fn of_subject(subject: Subject<'a>) -> Self {
        let mut keys = Keys::default();
        keys[..2].copy_from_slice(&subject);
        Self {
            kind: MessageKind::Notification,
            method: None,
            keys,
        }
    }
}

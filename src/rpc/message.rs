//! A line from the server, shared by all who receive it, and the parts of it that its envelope names.

use std::{
    any::Any,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::scan::Envelope;

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A method without an id.
    Notification,
    /// A method with an id: the server waits for an answer.
    Request,
    /// An id without a method, with a result or an error. An event only where no request of this client had the id.
    Response,
    /// A JSON object that is none of these.
    Unknown,
    /// Not a JSON object, or too long (then `raw` is its beginning).
    Malformed,
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

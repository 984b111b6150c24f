//! Lines from the server, shared by all who receive them, and the parts of them that their envelopes name.

use std::{any::Any, fmt, ops::Range, time::Instant};

use super::{
    block::{Block, Entry, Hold, Value},
    scan::Envelope,
};

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
    /// The answer to a request of this client that was given up before it came: its deadline had passed, or it was
    /// dropped. Its method is that of the request. What the request did is done: a thread that was resumed is followed.
    LateResponse,
}

/// A line from the server with its envelope, shared by all who receive it.
#[derive(Clone)]
pub(crate) struct Incoming {
    block: Hold,
    at: u32,
}

impl Incoming {
    /// A line in a block of its own.
    #[cfg(test)]
    pub(crate) fn new(
        seq: u64,
        received_at: Instant,
        line: &str,
        kind: Kind,
        env: Envelope,
    ) -> Self {
        Self::of(seq, received_at, Text::new(line), kind, env)
    }

    /// The same, with what stands behind the line.
    pub(super) fn of(
        seq: u64,
        received_at: Instant,
        text: Text<'_>,
        kind: Kind,
        env: Envelope,
    ) -> Self {
        let entry = Entry::new(seq, 0, text.line(), kind, env);
        let block = Block::one(received_at, text.all, entry);
        Self {
            block: Hold::new(block),
            at: 0,
        }
    }

    fn entry(&self) -> &Entry {
        self.block.entry(self.at)
    }

    /// How many hold its block.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        self.block.holders()
    }

    pub(crate) fn seq(&self) -> u64 {
        self.entry().seq
    }
    pub(crate) fn received_at(&self) -> Instant {
        self.block.received_at
    }
    pub(crate) fn kind(&self) -> Kind {
        self.entry().kind
    }
    pub(crate) fn raw(&self) -> &str {
        self.block.line(self.at)
    }
    pub(crate) fn parts(&self) -> Parts<'_> {
        self.block.parts(self.at)
    }

    /// The value that `make` makes, once for all who hold the message; `None` if it was made as another type. It may be
    /// made of one that nobody has any more.
    pub(crate) fn memo<T: Any>(
        &self,
        make: impl Fn(Parts<'_>, Option<Value>) -> Value,
    ) -> Option<&T> {
        self.block.value(self.at, make).downcast_ref::<T>()
    }
}

impl fmt::Debug for Incoming {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the text: it may hold a token.
        f.debug_struct("Incoming")
            .field("seq", &self.seq())
            .field("kind", &self.kind())
            .field("method", &self.parts().method())
            .finish_non_exhaustive()
    }
}

/// Consecutive lines of a block, as a queue holds them.
#[derive(Clone)]
pub(crate) struct Run {
    block: Hold,
    next: u32,
    end: u32,
}

impl Run {
    pub(super) fn whole(block: Block) -> Self {
        Self {
            next: 0,
            end: block.len(),
            block: Hold::new(block),
        }
    }

    pub(crate) fn one(message: Incoming) -> Self {
        Self {
            block: message.block,
            next: message.at,
            end: message.at + 1,
        }
    }

    pub(crate) fn len(&self) -> usize {
        (self.end - self.next) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.end
    }

    /// The text of all its lines, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let (first, last) = (self.block.entry(self.next), self.block.entry(self.end - 1));
        (last.end - first.start) as usize // A block's lines stand side by side.
    }

    /// The number of its first line; the highest there is if it is empty.
    pub(crate) fn seq(&self) -> u64 {
        if self.is_empty() {
            return u64::MAX;
        }
        self.block.entry(self.next).seq
    }

    /// The parts of its first line.
    pub(super) fn first(&self) -> Option<Parts<'_>> {
        (!self.is_empty()).then(|| self.block.parts(self.next))
    }

    /// Takes a hold of the block for one reader alone, if there are others.
    pub(crate) fn share(&mut self) {
        if self.len() > 1 {
            self.block.share();
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Incoming> {
        if self.is_empty() {
            return None;
        }
        // If nobody has the line before any more, what was decoded of it is made into what is decoded next.
        if let Some(before) = self.next.checked_sub(1) {
            self.block.recycle(before);
        }
        self.next += 1;
        Some(Incoming {
            block: self.block.clone(),
            at: self.next - 1,
        })
    }

    /// Drops the first line, and says how long it was.
    pub(crate) fn skip(&mut self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let entry = self.block.entry(self.next);
        self.next += 1;
        (entry.end - entry.start) as usize
    }

    /// Takes the lines before the number `seq` off the front, at most `max`.
    pub(crate) fn split(&mut self, seq: u64, max: usize) -> Self {
        let mut front = self.clone();
        let most = u32::try_from(max).map_or(self.end, |max| self.end.min(self.next + max));
        let ends_before = |at: u32| at == self.next || self.block.entry(at - 1).seq < seq;
        if ends_before(most) {
            self.next = most;
        } else {
            let mut at = self.next;
            while ends_before(at + 1) {
                at += 1;
            }
            self.next = at;
        }
        front.end = self.next;
        front
    }

    /// The lines that `keep` says, as runs.
    pub(crate) fn filter(mut self, mut keep: impl FnMut(&Incoming) -> bool) -> Vec<Self> {
        let mut kept: Vec<Self> = Vec::new();
        while let Some(message) = self.pop() {
            if keep(&message) {
                match kept.last_mut() {
                    Some(run) if run.end == message.at => run.end += 1,
                    _ => kept.push(Self::one(message)),
                }
            }
        }
        kept
    }
}

impl fmt::Debug for Run {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("seq", &self.seq())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A line, and behind it what its envelope names that does not stand in it: strings without their escapes, and the method
/// that an answer is to.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(super) all: &'a str,
    /// The length of the line.
    len: usize,
}

impl<'a> Text<'a> {
    /// A line with nothing behind it.
    pub(super) fn new(line: &'a str) -> Self {
        let len = line.len();
        Self { all: line, len }
    }

    pub(super) fn with_more(all: &'a str, len: usize) -> Self {
        Self { all, len }
    }

    pub(super) fn line(&self) -> &'a str {
        &self.all[..self.len]
    }

    pub(super) fn has_more(&self) -> bool {
        self.len < self.all.len()
    }
}

/// A line and its envelope, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(super) line: &'a str,
    pub(super) env: Envelope,
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

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;

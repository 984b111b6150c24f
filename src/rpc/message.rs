//! Lines from the server, shared by all who receive them.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use super::{
    block::{Block, Entry},
    envelope::{Envelope, MessageKind, Parts, Text},
    recycle::Value,
};

/// A line from the server with its envelope, shared by all who receive it.
#[derive(Clone)]
pub(crate) struct Incoming {
    block: Arc<Block>,
    at: u32,
}

impl Incoming {
    /// A line in a block of its own.
    #[cfg(test)]
    pub(super) fn new(
        seq: u64,
        received_at: Instant,
        line: &str,
        kind: MessageKind,
        env: Envelope,
    ) -> Self {
        Self::of(seq, received_at, Text::new(line), kind, env)
    }

    /// A line in a block of its own, with what is appended to it.
    pub(super) fn of(
        seq: u64,
        received_at: Instant,
        text: Text<'_>,
        kind: MessageKind,
        env: Envelope,
    ) -> Self {
        let entry = Entry::new(seq, 0, text.line(), kind, env);
        let block = Block::one(received_at, text.all, entry);
        Self {
            block: Arc::new(block),
            at: 0,
        }
    }

    fn entry(&self) -> &Entry {
        self.block.entry(self.at)
    }

    /// How many references to its block there are.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.block)
    }

    pub(crate) fn seq(&self) -> u64 {
        self.entry().seq
    }
    pub(crate) fn received_at(&self) -> Instant {
        self.block.received_at
    }
    pub(crate) fn kind(&self) -> MessageKind {
        self.entry().kind
    }
    pub(crate) fn raw(&self) -> &str {
        self.block.line(self.at)
    }
    pub(crate) fn parts(&self) -> Parts<'_> {
        self.block.parts(self.at)
    }

    /// The decoded value, which `make` makes once for all who hold the message. `None` if it was made as another type.
    /// `make` may be given a value that nobody holds any more, to overwrite it.
    pub(crate) fn memo<T: Any>(
        &self,
        make: impl Fn(Parts<'_>, Option<Value>) -> Value,
    ) -> Option<&T> {
        self.block.value(self.at, make).downcast_ref::<T>()
    }
}

impl fmt::Debug for Incoming {
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
    block: Arc<Block>,
    next: u32,
    end: u32,
}

impl Run {
    pub(super) fn whole(block: Block) -> Self {
        Self {
            next: 0,
            end: block.len(),
            block: Arc::new(block),
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

    /// The length of its lines, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let (first, last) = (self.block.entry(self.next), self.block.entry(self.end - 1));
        (last.end - first.start) as usize // A block's lines stand side by side.
    }

    /// The number of its first line; `u64::MAX` if it is empty.
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

    pub(crate) fn pop(&mut self) -> Option<Incoming> {
        if self.is_empty() {
            return None;
        }
        // If nobody holds the line before any more, its value is overwritten with the next one.
        if let Some(before) = self.next.checked_sub(1)
            && let Some(block) = Arc::get_mut(&mut self.block)
        {
            block.recycle(before);
        }
        self.next += 1;
        Some(Incoming {
            block: self.block.clone(),
            at: self.next - 1,
        })
    }

    /// Drops the first line and returns its length.
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

    /// The lines for which `keep` is true, as runs.
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("seq", &self.seq())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;

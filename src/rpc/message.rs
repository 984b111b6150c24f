//! Lines from the server, shared by all who receive them, and the parts of them that their envelopes name.
//!
//! Lines that were read together and go to the same subscriptions share a [`Block`]: in a flood that is one set of
//! allocations for up to [`LINES`] of them. A block is small, so that keeping one event keeps little else.

use std::{
    any::Any,
    fmt, hint,
    ops::{Deref, Range},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::scan::Envelope;

/// The most lines of a block.
pub(super) const LINES: usize = 32;
/// The most text of a block of more than one line, in bytes.
pub(super) const TEXT: usize = 8 * 1024;

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
pub(crate) struct Incoming {
    block: Hold,
    at: u32,
}

/// A hold on a block.
#[derive(Clone)]
enum Hold {
    Block(Arc<Block>),
    /// A reader's own, with a count of its own: several readers of the same events would otherwise take the one count
    /// away from each other's core twice an event.
    #[expect(clippy::redundant_allocation, reason = "the count is what is wanted")]
    Share(Arc<Arc<Block>>),
}

impl Deref for Hold {
    type Target = Block;

    fn deref(&self) -> &Block {
        match self {
            Self::Block(block) => block,
            Self::Share(block) => block,
        }
    }
}

struct Block {
    received_at: Instant,
    text: String,
    entries: Entries,
    /// Values that nobody has any more, to be made into those of these lines.
    values: Mutex<Vec<Value>>,
    /// Where the buffers go afterwards.
    spares: Option<Arc<Spares>>,
}

/// What was decoded of a line.
pub(crate) type Value = Box<dyn Any + Send + Sync>;

/// Most blocks of a quiet connection have one line, and need no list.
enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

struct Entry {
    seq: u64,
    start: u32,
    end: u32,
    kind: Kind,
    /// Somebody is making the decoded value, or has made it.
    claimed: AtomicBool,
    env: Envelope,
    /// The decoded value, made by the first who asks for it.
    memo: OnceLock<Value>,
}

impl Block {
    fn entry(&self, at: u32) -> &Entry {
        match &self.entries {
            Entries::One(entry) => entry,
            Entries::Many(entries) => &entries[at as usize],
        }
    }

    fn parts(&self, at: u32) -> Parts<'_> {
        let entry = self.entry(at);
        Parts {
            line: &self.text[entry.start as usize..entry.end as usize],
            env: entry.env,
        }
    }

    fn value(&self) -> Option<Value> {
        self.values
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let (Some(spares), Entries::Many(entries)) = (&self.spares, &mut self.entries) {
            let values = self
                .values
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            values.extend(
                entries
                    .drain(..)
                    .filter_map(|entry| entry.memo.into_inner()),
            );
            values.truncate(LINES);
            self.text.clear();
            spares.put(Buffers {
                text: std::mem::take(&mut self.text),
                entries: std::mem::take(entries),
                values: std::mem::take(values),
            });
        }
    }
}

/// What a full block is made of.
#[derive(Default)]
struct Buffers {
    text: String,
    entries: Vec<Entry>,
    values: Vec<Value>,
}

/// The buffers of full blocks that have gone, for those that come: large ones are dear to allocate, and so are small ones
/// that one thread allocates and another one frees.
#[derive(Default)]
struct Spares(Mutex<Vec<Buffers>>);

/// How many buffers are kept. A queue that is full has more, but one that is read has not.
const SPARES: usize = 16;

impl Spares {
    fn take(&self) -> Buffers {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Buffers {
            text: String::with_capacity(TEXT),
            entries: Vec::with_capacity(LINES),
            values: Vec::new(),
        })
    }

    fn put(&self, buffers: Buffers) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES {
            spares.push(buffers);
        }
    }
}

impl Incoming {
    /// A line in a block of its own.
    pub(crate) fn new(
        seq: u64,
        received_at: Instant,
        line: &str,
        kind: Kind,
        env: Envelope,
    ) -> Self {
        let block = Block {
            received_at,
            text: line.to_owned(),
            entries: Entries::One(Entry::new(seq, 0, line, kind, env)),
            values: Mutex::default(),
            spares: None,
        };
        Self {
            block: Hold::Block(Arc::new(block)),
            at: 0,
        }
    }

    fn entry(&self) -> &Entry {
        self.block.entry(self.at)
    }

    /// How many hold its block.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        match &self.block {
            Hold::Block(block) => Arc::strong_count(block),
            Hold::Share(block) => Arc::strong_count(block) - 1 + Arc::strong_count(&**block),
        }
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
        self.parts().line
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
        let entry = self.entry();
        // Two readers of the same events tend to meet at each of them. What the one who comes late would do while it waits
        // is better spent on what both ask for next, and parking a thread takes longer than decoding.
        if entry.memo.get().is_none() && entry.claimed.swap(true, Ordering::Relaxed) {
            let is_made = || entry.memo.get().is_some();
            while !is_made() && self.make_next(&make) {}
            for _ in 0..SPINS {
                if is_made() {
                    break;
                }
                hint::spin_loop();
            }
        }
        let value = entry
            .memo
            .get_or_init(|| make(self.parts(), self.block.value()));
        value.downcast_ref::<T>()
    }

    /// Makes the value of one of the next lines. `false` if somebody is at all of them.
    fn make_next(&self, make: impl Fn(Parts<'_>, Option<Value>) -> Value) -> bool {
        let Entries::Many(entries) = &self.block.entries else {
            return false;
        };
        let next = entries.iter().zip(0..).skip(self.at as usize + 1);
        for (entry, at) in next {
            if entry.memo.get().is_none() && !entry.claimed.swap(true, Ordering::Relaxed) {
                entry
                    .memo
                    .get_or_init(|| make(self.block.parts(at), self.block.value()));
                return true;
            }
        }
        false
    }
}

/// Some 20 µs, which is what it costs to park a thread and wake it. Large values take five.
const SPINS: usize = 500;

impl Entry {
    /// Lines are shorter than 4 GiB, and only short ones share a block.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the line limit is below 4 GiB"
    )]
    fn new(seq: u64, start: usize, line: &str, kind: Kind, env: Envelope) -> Self {
        Self {
            seq,
            start: start as u32,
            end: (start + line.len()) as u32,
            kind,
            claimed: AtomicBool::new(false),
            env,
            memo: OnceLock::new(),
        }
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
    block: Hold,
    next: u32,
    end: u32,
}

impl Run {
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

    /// Takes a hold of the block for one reader alone, if there are others.
    pub(crate) fn share(&mut self) {
        if let Hold::Block(block) = &self.block
            && self.len() > 1
            && Arc::strong_count(block) > 1
        {
            self.block = Hold::Share(Arc::new(block.clone()));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Incoming> {
        if self.is_empty() {
            return None;
        }
        // If nobody has the line before any more, what was decoded of it is made into what is decoded next.
        if let (Some(before), Hold::Block(block)) = (self.next.checked_sub(1), &mut self.block)
            && let Some(block) = Arc::get_mut(block)
            && let Entries::Many(entries) = &mut block.entries
            && let Some(value) = entries[before as usize].memo.take()
        {
            let values = block.values.get_mut();
            values.unwrap_or_else(PoisonError::into_inner).push(value);
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("seq", &self.seq())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A block that is being gathered.
#[derive(Default)]
pub(super) struct Draft {
    buffers: Buffers,
    spares: Arc<Spares>,
}

impl Draft {
    /// Whether a line of this length may come to those that are there.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let Buffers { text, entries, .. } = &self.buffers;
        entries.len() < LINES && text.len() + len <= TEXT
    }

    pub(super) fn push(&mut self, seq: u64, line: &str, kind: Kind, env: Envelope) {
        let Buffers { text, entries, .. } = &mut self.buffers;
        entries.push(Entry::new(seq, text.len(), line, kind, env));
        text.push_str(line);
    }

    /// What was gathered; `None` if that is nothing.
    pub(super) fn finish(&mut self, received_at: Instant) -> Option<Run> {
        let Buffers { text, entries, .. } = &mut self.buffers;
        let lines = entries.len();
        let is_full = lines > LINES / 2 || (lines > 1 && text.len() > TEXT / 2);
        let block = if is_full {
            let full = std::mem::replace(&mut self.buffers, self.spares.take());
            Block {
                received_at,
                text: full.text,
                entries: Entries::Many(full.entries),
                values: full.values.into(),
                spares: Some(self.spares.clone()),
            }
        } else {
            let last = entries.pop()?;
            let entries = if lines == 1 {
                Entries::One(last)
            } else {
                Entries::Many(entries.drain(..).chain([last]).collect())
            };
            let all = text.as_str().to_owned();
            text.clear();
            Block {
                received_at,
                text: all,
                entries,
                values: Mutex::default(),
                spares: None,
            }
        };
        Some(Run {
            block: Hold::Block(Arc::new(block)),
            next: 0,
            end: u32::try_from(lines).unwrap_or_default(),
        })
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

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;

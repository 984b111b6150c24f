//! Lines that were read together and go to the same subscriptions.
//!
//! In a flood a block is one set of allocations for up to [`LINES`] of them, and what was decoded of its lines is kept
//! with them, for all who ask. A block is small, so that keeping one event keeps little else.

use std::{
    any::Any,
    hint,
    ops::Deref,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    message::{Kind, Parts},
    scan::Envelope,
};

/// The most lines of a block.
pub(super) const LINES: usize = 32;
/// The most text of a block of more than one line, in bytes.
pub(super) const TEXT: usize = 8 * 1024;

/// A hold on a block.
#[derive(Clone)]
pub(super) enum Hold {
    Block(Arc<Block>),
    /// A reader's own, with a count of its own: several readers of the same events would otherwise take the one count
    /// away from each other's core twice an event.
    #[expect(clippy::redundant_allocation, reason = "the count is what is wanted")]
    Share(Arc<Arc<Block>>),
}

impl Hold {
    pub(super) fn new(block: Block) -> Self {
        Self::Block(Arc::new(block))
    }

    /// Takes a count of its own, if there are others.
    pub(super) fn share(&mut self) {
        if let Self::Block(block) = self
            && Arc::strong_count(block) > 1
        {
            *self = Self::Share(Arc::new(block.clone()));
        }
    }

    /// What was decoded of a line is to spare, if there is no other hold of the block.
    pub(super) fn recycle(&mut self, at: u32) {
        if let Self::Block(block) = self
            && let Some(block) = Arc::get_mut(block)
            && let Entries::Many(entries) = &mut block.entries
            && let Some(value) = entries[at as usize].memo.take()
        {
            let values = block.values.get_mut();
            values.unwrap_or_else(PoisonError::into_inner).push(value);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        match self {
            Self::Block(block) => Arc::strong_count(block),
            Self::Share(block) => Arc::strong_count(block) - 1 + Arc::strong_count(&**block),
        }
    }
}

impl Deref for Hold {
    type Target = Block;

    #[inline]
    fn deref(&self) -> &Block {
        match self {
            Self::Block(block) => block,
            Self::Share(block) => block,
        }
    }
}

pub(super) struct Block {
    pub(super) received_at: Instant,
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

pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
    /// Somebody is making the decoded value, or has made it.
    claimed: AtomicBool,
    pub(super) env: Envelope,
    /// The decoded value, made by the first who asks for it.
    memo: OnceLock<Value>,
}

impl Block {
    /// A line in a block of its own, and what stands behind it.
    pub(super) fn one(received_at: Instant, text: &str, entry: Entry) -> Self {
        Self {
            received_at,
            text: text.to_owned(),
            entries: Entries::One(entry),
            values: Mutex::default(),
            spares: None,
        }
    }

    pub(super) fn len(&self) -> u32 {
        match &self.entries {
            Entries::One(_) => 1,
            Entries::Many(entries) => u32::try_from(entries.len()).unwrap_or_default(),
        }
    }

    #[inline]
    pub(super) fn entry(&self, at: u32) -> &Entry {
        match &self.entries {
            Entries::One(entry) => entry,
            Entries::Many(entries) => &entries[at as usize],
        }
    }

    #[inline]
    pub(super) fn line(&self, at: u32) -> &str {
        let entry = self.entry(at);
        &self.text[entry.start as usize..entry.end as usize]
    }

    #[inline]
    pub(super) fn parts(&self, at: u32) -> Parts<'_> {
        let line = match &self.entries {
            // With what stands behind it.
            Entries::One(_) => &self.text,
            Entries::Many(_) => self.line(at),
        };
        Parts {
            line,
            env: self.entry(at).env,
        }
    }

    /// The value of a line, which `make` makes once for all who ask.
    pub(super) fn value(
        &self,
        at: u32,
        make: impl Fn(Parts<'_>, Option<Value>) -> Value,
    ) -> &Value {
        let entry = self.entry(at);
        // Two readers of the same events tend to meet at each of them. What the one who comes late would do while it waits
        // is better spent on what both ask for next, and parking a thread takes longer than decoding.
        if entry.memo.get().is_none() && !entry.claim() {
            let is_made = || entry.memo.get().is_some();
            while !is_made() && self.make_next(at, &make) {}
            for _ in 0..SPINS {
                if is_made() {
                    break;
                }
                hint::spin_loop();
            }
        }
        let memo = &entry.memo;
        memo.get_or_init(|| make(self.parts(at), self.spare()))
    }

    /// Makes the value of one of the lines behind this one. `false` if somebody is at all of them.
    fn make_next(&self, at: u32, make: impl Fn(Parts<'_>, Option<Value>) -> Value) -> bool {
        let mut next = at + 1..self.len();
        let claimed = next.find(|at| {
            let entry = self.entry(*at);
            entry.memo.get().is_none() && entry.claim()
        });
        if let Some(at) = claimed {
            let memo = &self.entry(at).memo;
            memo.get_or_init(|| make(self.parts(at), self.spare()));
        }
        claimed.is_some()
    }

    fn spare(&self) -> Option<Value> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.pop()
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

/// Some 20 µs, which is what it costs to park a thread and wake it. Large values take five.
const SPINS: usize = 500;

impl Entry {
    /// Whether it is for the caller to make the value.
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }

    /// Lines are shorter than 4 GiB, and only short ones share a block.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the line limit is below 4 GiB"
    )]
    pub(super) fn new(seq: u64, start: usize, line: &str, kind: Kind, env: Envelope) -> Self {
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
    pub(super) fn finish(&mut self, received_at: Instant) -> Option<Block> {
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
        Some(block)
    }
}

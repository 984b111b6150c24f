//! Lines that were read together and go to the same subscriptions.
//!
//! In a flood a block is one set of allocations for up to [`LINES`] of them, and one entry in each queue. What was decoded
//! of its lines is kept with them, for all who ask. A block is small, so that keeping one event keeps little else.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::{
    envelope::{Envelope, MessageKind, Parts},
    recycle::{BufferPool, Buffers, SpareValues, Value},
};

/// The most lines of a block.
pub(super) const LINES: usize = 32;
/// The most text of a block of more than one line, in bytes.
pub(super) const TEXT: usize = 8 * 1024;

pub(super) struct Block {
    pub(super) received_at: Instant,
    text: String,
    entries: Entries,
    /// Values to be overwritten with those of these lines.
    values: SpareValues,
    /// Where the buffers go afterwards.
    pool: Option<Arc<BufferPool<Entry>>>,
}

/// Most blocks of a quiet connection have one line, and need no list.
enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

/// A line of a block.
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: MessageKind,
    env: Envelope,
    value: OnceLock<Value>,
}

impl Entry {
    /// Lines are shorter than 4 GiB, and only short ones share a block.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the line limit is below 4 GiB"
    )]
    pub(super) fn new(
        seq: u64,
        start: usize,
        line: &str,
        kind: MessageKind,
        env: Envelope,
    ) -> Self {
        Self {
            seq,
            start: start as u32,
            end: (start + line.len()) as u32,
            kind,
            env,
            value: OnceLock::new(),
        }
    }
}

impl Block {
    /// A line in a block of its own. `text` is the line with what is appended to it.
    pub(super) fn one(received_at: Instant, text: &str, entry: Entry) -> Self {
        Self {
            received_at,
            text: text.to_owned(),
            entries: Entries::One(entry),
            values: SpareValues::default(),
            pool: None,
        }
    }

    pub(super) fn len(&self) -> u32 {
        match &self.entries {
            Entries::One(_) => 1,
            Entries::Many(entries) => u32::try_from(entries.len()).unwrap_or_default(),
        }
    }

    #[inline] // These three: several times an event.
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
            // With what is appended to it.
            Entries::One(_) => &self.text,
            Entries::Many(_) => self.line(at),
        };
        Parts::new(line, self.entry(at).env)
    }

    /// The value of a line. `make` makes it, once for all who ask, and may overwrite one that nobody holds any more.
    pub(super) fn value(
        &self,
        at: u32,
        make: impl FnOnce(Parts<'_>, Option<Value>) -> Value,
    ) -> &Value {
        let entry = self.entry(at);
        entry
            .value
            .get_or_init(|| make(self.parts(at), self.values.pop()))
    }

    /// Has the value of a line used again for a later one of this block.
    pub(super) fn recycle(&mut self, at: u32) {
        if let Entries::Many(entries) = &mut self.entries
            && let Some(value) = entries[at as usize].value.take()
        {
            self.values.push(value);
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let (Some(pool), Entries::Many(entries)) = (&self.pool, &mut self.entries) {
            let made = entries
                .drain(..)
                .filter_map(|entry| entry.value.into_inner());
            self.values.extend(made, LINES);
            self.text.clear();
            pool.put(Buffers {
                text: std::mem::take(&mut self.text),
                entries: std::mem::take(entries),
                values: std::mem::take(&mut self.values),
            });
        }
    }
}

/// A block that is being gathered.
#[derive(Default)]
pub(super) struct Draft {
    buffers: Buffers<Entry>,
    pool: Arc<BufferPool<Entry>>,
}

impl Draft {
    /// Whether a line of this length may join those that are there.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let Buffers { text, entries, .. } = &self.buffers;
        entries.len() < LINES && text.len() + len <= TEXT
    }

    pub(super) fn push(&mut self, seq: u64, line: &str, kind: MessageKind, env: Envelope) {
        let Buffers { text, entries, .. } = &mut self.buffers;
        entries.push(Entry::new(seq, text.len(), line, kind, env));
        text.push_str(line);
    }

    /// The block; `None` if nothing was gathered. A full one takes the buffers along, a small one is copied out of them.
    pub(super) fn finish(&mut self, received_at: Instant) -> Option<Block> {
        let Buffers { text, entries, .. } = &mut self.buffers;
        let lines = entries.len();
        let is_full = lines > LINES / 2 || (lines > 1 && text.len() > TEXT / 2);
        if is_full {
            let next = self.pool.take().unwrap_or_else(|| Buffers {
                text: String::with_capacity(TEXT),
                entries: Vec::with_capacity(LINES),
                values: SpareValues::default(),
            });
            let full = std::mem::replace(&mut self.buffers, next);
            return Some(Block {
                received_at,
                text: full.text,
                entries: Entries::Many(full.entries),
                values: full.values,
                pool: Some(self.pool.clone()),
            });
        }
        let last = entries.pop()?;
        let entries = if lines == 1 {
            Entries::One(last)
        } else {
            Entries::Many(entries.drain(..).chain([last]).collect())
        };
        let all = text.as_str().to_owned();
        text.clear();
        Some(Block {
            received_at,
            text: all,
            entries,
            values: SpareValues::default(),
            pool: None,
        })
    }
}

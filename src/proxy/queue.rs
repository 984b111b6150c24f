//! What waits to be written to stdout: whole events in chunks, counted, never dropped.

use std::collections::VecDeque;

/// A chunk is closed when it has reached this. Large enough that one write carries many events, small enough to stay in
/// the cache between the two.
const CHUNK: usize = 64 * 1024;

/// The bound beside the number of events: that many may be of any size.
const MAX_BYTES: usize = 3 * 1024 * 1024;

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    events: usize,
}

/// The queue. Events go in at the back in place; bytes go out at the front.
#[derive(Debug)]
pub(super) struct OutQueue {
    /// Never empty; events are written into the last one.
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk is written.
    written: usize,
    events: usize,
    bytes: usize,
    max_events: usize,
    spare: Option<Vec<u8>>,
    pub(super) high_water: usize,
}

impl OutQueue {
    pub(super) fn new(max_events: usize) -> Self {
        Self {
            chunks: VecDeque::from([Chunk::default()]),
            written: 0,
            events: 0,
            bytes: 0,
            max_events: max_events.max(1),
            spare: None,
            high_water: 0,
        }
    }

    /// Where to write the next event, newline included; [`pushed`](Self::pushed) has to follow.
    pub(super) fn back(&mut self) -> &mut Vec<u8> {
        if self.chunks.back().is_none_or(|c| c.bytes.len() >= CHUNK) {
            self.chunks.push_back(Chunk::default());
        }
        let back = self.chunks.back_mut().expect("a chunk was just added");
        if back.bytes.capacity() == 0 {
            // With room for the event that crosses the line, so that chunks are not reallocated.
            let spare = self.spare.take();
            back.bytes = spare.unwrap_or_else(|| Vec::with_capacity(CHUNK + CHUNK / 8));
        }
        self.bytes -= back.bytes.len(); // And is added again, grown, by `pushed`.
        &mut back.bytes
    }

    pub(super) fn pushed(&mut self) {
        let back = self.chunks.back_mut().expect("there is always a chunk");
        back.events += 1;
        self.bytes += back.bytes.len();
        self.events += 1;
        self.high_water = self.high_water.max(self.events);
    }

    /// The bytes to write next; empty if nothing waits.
    pub(super) fn front(&self) -> &[u8] {
        &self.chunks[0].bytes[self.written..]
    }

    /// Takes note that so many bytes of [`front`](Self::front) are written.
    pub(super) fn wrote(&mut self, n: usize) {
        let chunk = &mut self.chunks[0];
        let start = self.written;
        self.written += n;
        if self.written < chunk.bytes.len() {
            let done = &chunk.bytes[start..self.written];
            let events = memchr::memchr_iter(b'\n', done).count();
            chunk.events -= events;
            self.events -= events;
            return;
        }
        self.events -= chunk.events;
        self.bytes -= chunk.bytes.len();
        self.written = 0;
        let Chunk { mut bytes, .. } = std::mem::take(chunk);
        if self.chunks.len() > 1 {
            self.chunks.pop_front();
        }
        // What one large event has made large is given back.
        if bytes.capacity() <= 2 * CHUNK {
            bytes.clear();
            self.spare = Some(bytes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front().is_empty()
    }

    pub(super) fn depth(&self) -> usize {
        self.events
    }

    /// Whether so much waits that reading has to stop.
    pub(super) fn is_full(&self) -> bool {
        self.events >= self.max_events || self.bytes >= MAX_BYTES
    }

    /// Whether so little is left that reading may go on.
    pub(super) fn has_drained(&self) -> bool {
        self.events * 2 < self.max_events.max(2) && self.bytes * 2 < MAX_BYTES
    }
}

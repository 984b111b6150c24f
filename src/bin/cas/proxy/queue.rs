//! The output queue: whole events in chunks, counted, never dropped.

use std::collections::VecDeque;

/// A chunk is closed when it has reached this. Large enough that one write carries many events,
/// small enough to stay in the cache between the two.
const CHUNK: usize = 64 * 1024;

/// The bound in bytes, since the events that the other bound counts may be of any size. While
/// reading is paused, requests of the server wait until half of this is written, so it is small.
const MAX_BYTES: usize = 256 * 1024;

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
    /// Whether there is a bound at all.
    bounded: bool,
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
            // With 1, the event that reports a pause or its end would itself exceed the limit.
            max_events: max_events.max(2),
            bounded: max_events > 0,
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

    /// Records that this many bytes of [`front`](Self::front) were written.
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
        // Frees a chunk that one large event has made large.
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
        self.bounded && (self.events >= self.max_events || self.bytes >= MAX_BYTES)
    }

    /// Whether so little is left that reading may go on.
    pub(super) fn has_drained(&self) -> bool {
        self.events < self.max_events.div_ceil(2) && self.bytes * 2 < MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut OutQueue, event: &[u8]) {
        queue.back().extend_from_slice(event);
        queue.pushed();
    }

    #[test]
    fn what_goes_in_comes_out_whatever_part_of_it_is_written_at_a_time() {
        for step in [97, 1_000, CHUNK, 3 * CHUNK] {
            let mut queue = OutQueue::new(usize::MAX);
            let (mut expected, mut out) = (Vec::new(), Vec::new());
            for n in 0..400 {
                let event = format!("{n} {}\n", "x".repeat(n * 7 % 1_000));
                push(&mut queue, event.as_bytes());
                expected.extend_from_slice(event.as_bytes());
                if n % 5 == 0 {
                    let part = queue.front().len().min(step);
                    out.extend_from_slice(&queue.front()[..part]);
                    queue.wrote(part);
                }
            }
            while !queue.is_empty() {
                let waiting = memchr::memchr_iter(b'\n', &expected[out.len()..]).count();
                assert_eq!(queue.depth(), waiting);
                let part = queue.front().len().min(step);
                out.extend_from_slice(&queue.front()[..part]);
                queue.wrote(part);
            }
            assert!(out == expected, "step {step}");
            assert_eq!((queue.depth(), queue.bytes), (0, 0));
        }
    }

    #[test]
    fn a_bound_of_one_is_two_and_one_of_zero_is_none() {
        let mut queue = OutQueue::new(1);
        push(&mut queue, b"resumed\n");
        assert!(!queue.is_full(), "its own notice does not fill it");
        push(&mut queue, b"x\n");
        assert!(queue.is_full());
        let mut queue = OutQueue::new(0);
        for _ in 0..100 {
            push(&mut queue, &b"y".repeat(MAX_BYTES / 10));
        }
        assert!(!queue.is_full());
    }

    #[test]
    fn it_is_full_by_events_or_by_bytes_and_has_drained_at_half_of_both() {
        let mut queue = OutQueue::new(4);
        for n in 0..4 {
            assert!(!queue.is_full(), "{n}");
            push(&mut queue, b"x\n");
        }
        assert!(queue.is_full() && !queue.has_drained());
        queue.wrote(4);
        assert!(!queue.has_drained(), "half is not under half");
        queue.wrote(1);
        assert!(!queue.has_drained(), "a part of an event is one that waits");
        queue.wrote(1);
        assert!(queue.has_drained());

        push(&mut queue, &b"y".repeat(MAX_BYTES));
        assert!(queue.is_full());
        queue.wrote(queue.front().len());
        assert!(queue.has_drained());
        assert!(
            queue.spare.is_none(),
            "the memory of a large event is given back"
        );
    }
}

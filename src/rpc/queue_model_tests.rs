//! The queue against a model that is too simple to be wrong: every event by itself, in two lists.

use std::{collections::VecDeque, task::Context, time::Instant};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::rpc::{
    block::Draft,
    envelope::{Envelope, MessageKind},
};

/// What happens to a queue.
#[derive(Debug, Clone)]
enum Step {
    /// Batches come: so many lines that go together, whether they are vital, and how long each is.
    Push(Vec<(usize, bool, usize)>),
    /// The reader takes at most so many.
    Take(usize),
    /// The subscription learns what it is about.
    Keep(u64),
    /// From here on another reader goes on.
    Copy,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let batch = vec((1..12_usize, any::<bool>(), 1..40_usize), 0..5);
    prop_oneof![
        6 => batch.prop_map(Step::Push),
        4 => (1..20_usize).prop_map(Step::Take),
        1 => (2..4_u64).prop_map(Step::Keep),
        1 => Just(Step::Copy),
        1 => Just(Step::Close),
    ]
}

/// What a reader is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Event(u64),
    Lagged(u64),
    Closed,
}

#[derive(Default)]
struct Model {
    /// Number and length: the ordinary, the vital.
    rings: [VecDeque<(u64, usize)>; 2],
    missing: Vec<u64>,
    closed: bool,
}

impl Model {
    fn push(&mut self, seq: u64, vital: bool, len: usize, bounds: Bounds) {
        let ring = &mut self.rings[usize::from(vital)];
        ring.push_back((seq, len));
        while ring.len() > bounds.events
            || (ring.len() > 1 && ring.iter().map(|(_, len)| len).sum::<usize>() > bounds.bytes)
        {
            self.missing.extend(ring.pop_front().map(|(seq, _)| seq));
        }
    }

    fn next(&mut self) -> Option<Told> {
        let fronts = self
            .rings
            .each_ref()
            .map(|ring| ring.front().map_or(u64::MAX, |e| e.0));
        let oldest = fronts[0].min(fronts[1]);
        if self.missing.iter().any(|seq| *seq < oldest) {
            let count = std::mem::take(&mut self.missing).len();
            return Some(Told::Lagged(count as u64));
        }
        let ring = &mut self.rings[usize::from(fronts[1] < fronts[0])];
        ring.pop_front().map(|(seq, _)| Told::Event(seq))
    }

    fn take(&mut self, max: usize) -> Vec<Told> {
        let mut told = Vec::new();
        let mut events = 0;
        while events < max
            && let Some(next) = self.next()
        {
            events += usize::from(matches!(next, Told::Event(_)));
            told.push(next);
        }
        if told.is_empty() && self.closed {
            told.push(Told::Closed);
        }
        told
    }
}

fn take(queue: &Queue, max: usize) -> Vec<Told> {
    let mut out = VecDeque::new();
    let pending = queue
        .poll_take(&mut Context::from_waker(Waker::noop()), &mut out, max)
        .is_pending();
    assert_eq!(pending, out.is_empty());
    let mut told = Vec::new();
    for next in out {
        match next {
            Next::Messages(mut run) => {
                assert!(!run.is_empty());
                told.extend(std::iter::from_fn(|| run.pop()).map(|m| Told::Event(m.seq())));
            }
            Next::Lagged(n) => told.push(Told::Lagged(n)),
            Next::Closed(_) => told.push(Told::Closed),
        }
    }
    told
}

/// Lines that go together, each of `len` bytes; the numbers between them are of lines that went elsewhere.
fn run(seq: &mut u64, lines: usize, len: usize) -> Run {
    let mut draft = Draft::default();
    for _ in 0..lines {
        *seq += 1 + *seq % 2;
        draft.push(
            *seq,
            &"x".repeat(len),
            MessageKind::Malformed,
            Envelope::default(),
        );
    }
    Run::whole(draft.finish(Instant::now()).unwrap())
}

fn seqs(mut run: Run) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || run.pop()).map(|m| m.seq())
}

proptest! {
    #[test]
    fn a_queue_does_what_its_model_does(
        events in 1..20_usize,
        bytes in 1..400_usize,
        steps in vec(step(), 0..40),
    ) {
        let bounds = Bounds { events, bytes };
        let (mut queue, mut model, mut seq) = (Queue::new(bounds), Model::default(), 0);
        for step in steps {
            match step {
                Step::Push(batches) => {
                    let mut pushed = Vec::new();
                    for (lines, vital, len) in batches {
                        let run = run(&mut seq, lines, len);
                        for seq in seqs(run.clone()) {
                            model.push(seq, vital, len, bounds);
                        }
                        pushed.push((run, vital));
                    }
                    let _ = queue.push_all(pushed);
                }
                Step::Take(max) => prop_assert_eq!(take(&queue, max), model.take(max)),
                Step::Keep(n) => {
                    queue.retain(|m| m.seq() % n == 0, |_| true);
                    for ring in &mut model.rings {
                        ring.retain(|(seq, _)| seq % n == 0);
                    }
                }
                Step::Copy => queue = queue.copy(),
                Step::Close => {
                    queue.close(&Closed::default());
                    model.closed = true;
                }
            }
        }
        prop_assert_eq!(take(&queue, usize::MAX), model.take(usize::MAX));
    }

    /// Said without a model: all that came is told or counted as missing, in order, and what is missing is told where
    /// the first of it is missing.
    #[test]
    fn nothing_is_lost_without_a_word(
        events in 1..10_usize,
        batches in vec((1..12_usize, any::<bool>(), any::<bool>()), 0..40),
    ) {
        let queue = Queue::new(Bounds { events, bytes: usize::MAX });
        let (mut seq, mut all, mut told) = (0, Vec::new(), Vec::new());
        for (lines, vital, reads) in batches {
            let run = run(&mut seq, lines, 1);
            all.extend(seqs(run.clone()));
            let _ = queue.push_all([(run, vital)]);
            if reads {
                told.extend(take(&queue, 3));
            }
        }
        told.extend(take(&queue, usize::MAX));
        let got: Vec<_> = told.iter().filter_map(|t| match t {
            Told::Event(seq) => Some(*seq),
            _ => None,
        }).collect();
        prop_assert!(got.is_sorted());
        let missing: u64 = told.iter().map(|t| match t {
            Told::Lagged(n) => *n,
            _ => 0,
        }).sum();
        prop_assert_eq!(got.len() as u64 + missing, all.len() as u64);
        // Before the first word of a gap, nothing is missing.
        let whole = told.iter().take_while(|t| matches!(t, Told::Event(_))).count();
        prop_assert!(got[..whole].iter().eq(all[..whole].iter()));
    }
}

//! The queue of one subscription: two rings, merged by sequence number.
//!
//! Vital messages have a ring of their own, so that a flood pushes out ordinary ones only. A full ring drops its oldest
//! messages; the reader is told how many are missing, at the place where they are missing.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use super::{
    error::Closed,
    lock::Lock,
    message::{Incoming, Run},
    protocol::Subject,
};

/// The bounds of each of the two rings of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// What a reader gets next.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    Messages(Run),
    /// This many were dropped here.
    Lagged(u64),
    /// The connection has ended, and all that came before has been read.
    Closed(Closed),
}

pub(crate) struct Queue(Lock<State>);

struct State {
    vital: Ring,
    ordinary: Ring,
    /// The messages dropped since the last report.
    lag: Option<Lag>,
    /// The dropped ones by subject, until it is known what the subscription is about.
    tally: Option<Tally>,
    closed: Option<Closed>,
    waker: Option<Waker>,
}

/// Messages that were dropped.
#[derive(Clone, Copy)]
struct Lag {
    count: u64,
    /// The sequence number of the first.
    first: u64,
}

/// The dropped messages by subject.
#[derive(Clone, Default)]
struct Tally {
    subjects: Vec<(OwnedSubject, Lag)>,
    /// Those of subjects that there was no more room for.
    rest: Option<Lag>,
}

type OwnedSubject = [Option<Box<str>>; 2];

/// How many subjects are told apart.
const SUBJECTS: usize = 64;

impl Lag {
    /// Adds a message to the dropped ones.
    fn add(lag: &mut Option<Self>, seq: u64) {
        let dropped = Self {
            count: 1,
            first: seq,
        };
        *lag = Some(lag.map_or(dropped, |lag| lag.merge(dropped)));
    }

    fn merge(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            first: self.first.min(other.first),
        }
    }
}

impl Tally {
    fn add(&mut self, subject: Subject<'_>, seq: u64) {
        let mut subjects = self.subjects.iter_mut();
        let dropped = Lag {
            count: 1,
            first: seq,
        };
        if let Some((_, lag)) = subjects.find(|(known, _)| borrowed(known) == subject) {
            *lag = lag.merge(dropped);
        } else if self.subjects.len() < SUBJECTS {
            let subject = subject.map(|key| key.map(Box::from));
            self.subjects.push((subject, dropped));
        } else {
            Lag::add(&mut self.rest, seq);
        }
    }

    /// The dropped messages of the subjects for which `keep` is true, and of those that cannot be told apart.
    fn into_lag(self, keep: impl Fn(Subject<'_>) -> bool) -> Option<Lag> {
        let subjects = self.subjects.iter();
        let kept = subjects.filter(|(subject, _)| keep(borrowed(subject)));
        kept.map(|(_, lag)| *lag)
            .chain(self.rest)
            .reduce(Lag::merge)
    }
}

fn borrowed(subject: &OwnedSubject) -> Subject<'_> {
    subject.each_ref().map(Option::as_deref)
}

#[derive(Clone)]
struct Ring {
    bounds: Bounds,
    /// None of them is empty.
    runs: VecDeque<Run>,
    events: usize,
    bytes: usize,
}

impl Ring {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            runs: VecDeque::new(),
            events: 0,
            bytes: 0,
        }
    }

    /// Adds lines, and calls `dropped` with what begins with each that has to go for it. The newest always stays.
    fn push(&mut self, run: Run, mut dropped: impl FnMut(&Run)) {
        self.events += run.len();
        self.bytes += run.bytes();
        self.runs.push_back(run);
        while self.events > self.bounds.events.max(1)
            || (self.bytes > self.bounds.bytes && self.events > 1)
        {
            let Some(oldest) = self.runs.front_mut() else {
                break;
            };
            dropped(oldest);
            self.events -= 1;
            self.bytes -= oldest.skip();
            if oldest.is_empty() {
                self.runs.pop_front();
            }
        }
    }

    /// Takes the oldest, as far as they are before the number `seq` and no more than `max`.
    fn take(&mut self, seq: u64, max: usize) -> Option<Run> {
        let oldest = self.runs.front_mut()?;
        let taken = oldest.split(seq, max);
        self.events -= taken.len();
        self.bytes -= taken.bytes();
        if oldest.is_empty() {
            self.runs.pop_front();
            if self.runs.is_empty() && self.runs.capacity() > 1024 {
                self.runs = VecDeque::new(); // A flood that has passed should not be paid for ever after.
            }
        }
        Some(taken)
    }

    fn retain(&mut self, mut keep: impl FnMut(&Incoming) -> bool) {
        let runs = std::mem::take(&mut self.runs).into_iter();
        self.runs = runs.flat_map(|run| run.filter(&mut keep)).collect();
        self.events = self.runs.iter().map(Run::len).sum();
        self.bytes = self.runs.iter().map(Run::bytes).sum();
    }

    fn seq(&self) -> u64 {
        self.runs.front().map_or(u64::MAX, Run::seq)
    }
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self(Lock::new(State {
            vital: Ring::new(bounds),
            ordinary: Ring::new(bounds),
            lag: None,
            tally: None,
            closed: None,
            waker: None,
        }))
    }

    /// Adds a batch, each with its `vital` mark. Returns the reader's waker, to be woken once no lock is held.
    #[must_use = "the reader waits"]
    pub(crate) fn push_all(&self, batch: impl IntoIterator<Item = (Run, bool)>) -> Option<Waker> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        for (run, vital) in batch {
            let ring = if vital {
                &mut state.vital
            } else {
                &mut state.ordinary
            };
            let (lag, tally) = (&mut state.lag, &mut state.tally);
            ring.push(run, |oldest| {
                let seq = oldest.seq();
                Lag::add(lag, seq);
                if let (Some(tally), Some(parts)) = (tally.as_mut(), oldest.first()) {
                    tally.add(parts.subject(), seq);
                }
            });
        }
        state.waker.take()
    }

    /// Another queue with the same content.
    pub(crate) fn copy(&self) -> Self {
        let state = self.0.lock();
        Self(Lock::new(State {
            vital: state.vital.clone(),
            ordinary: state.ordinary.clone(),
            lag: state.lag,
            tally: None,
            closed: state.closed.clone(),
            waker: None,
        }))
    }

    /// Counts dropped messages by their subject from now on, until [`retain`](Self::retain) decides which of them count.
    /// Messages that were dropped before all count, since their subjects are unknown.
    pub(crate) fn tally(&self) {
        let mut state = self.0.lock();
        let rest = state.lag;
        state.tally.get_or_insert_with(|| Tally {
            subjects: Vec::new(),
            rest,
        });
    }

    /// Keeps only the messages for which `keep` is true, and counts only the dropped ones for which `counts` is: for a
    /// subscription that has just learned what it is about.
    pub(crate) fn retain(
        &self,
        mut keep: impl FnMut(&Incoming) -> bool,
        counts: impl Fn(Subject<'_>) -> bool,
    ) {
        let mut state = self.0.lock();
        state.vital.retain(&mut keep);
        state.ordinary.retain(keep);
        if let Some(tally) = state.tally.take() {
            state.lag = tally.into_lag(counts);
        }
    }

    /// Nothing more will come. What is queued can still be read.
    pub(crate) fn close(&self, closed: &Closed) {
        let mut state = self.0.lock();
        state.closed.get_or_insert_with(|| closed.clone());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves up to `max` messages to `out`, oldest first. Pending if there are none; after the end, `Closed` each time.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        out: &mut VecDeque<Next>,
        max: usize,
    ) -> Poll<()> {
        let mut ours = None;
        loop {
            let mut state = self.0.lock();
            let mut left = max;
            while left > 0
                && let Some(next) = state.pop(left)
            {
                if let Next::Messages(run) = &next {
                    left -= run.len();
                }
                out.push_back(next);
            }
            if !out.is_empty() {
                return Poll::Ready(());
            }
            if let Some(closed) = &state.closed {
                out.push_back(Next::Closed(closed.clone()));
                return Poll::Ready(());
            }
            if state
                .waker
                .as_ref()
                .is_some_and(|w| w.will_wake(cx.waker()))
            {
                return Poll::Pending;
            }
            // NB. A waker is foreign code: it is cloned and dropped without the lock, so what there is is looked at again.
            if let Some(ours) = ours.take() {
                let before = state.waker.replace(ours);
                drop(state);
                drop(before);
                return Poll::Pending;
            }
            drop(state);
            ours = Some(cx.waker().clone());
        }
    }
}

impl State {
    fn pop(&mut self, max: usize) -> Option<Next> {
        let (vital, ordinary) = (self.vital.seq(), self.ordinary.seq());
        let gap = self.lag.map_or(u64::MAX, |lag| lag.first);
        if let Some(lag) = self.lag.take_if(|lag| lag.first < vital.min(ordinary)) {
            self.tally = self.tally.take().map(|_| Tally::default());
            return Some(Next::Lagged(lag.count));
        }
        let (ring, other) = if vital < ordinary {
            (&mut self.vital, ordinary)
        } else {
            (&mut self.ordinary, vital)
        };
        ring.take(other.min(gap), max).map(Next::Messages)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rpc::test_protocol::scan;

    const BOUNDS: Bounds = Bounds {
        events: 3,
        bytes: 1_000_000,
    };

    fn message(seq: u64) -> Run {
        let raw = format!(r#"{{"method":"m","params":{{"n":{seq}}}}}"#);
        let (kind, env) = scan(&raw);
        Run::one(Incoming::new(seq, Instant::now(), &raw, kind, env))
    }

    fn take(queue: &Queue) -> Vec<String> {
        let mut out = VecDeque::new();
        let _ = queue.poll_take(
            &mut Context::from_waker(Waker::noop()),
            &mut out,
            usize::MAX,
        );
        let mut told = Vec::new();
        for next in out {
            match next {
                Next::Messages(mut run) => {
                    told.extend(std::iter::from_fn(|| run.pop()).map(|m| m.seq().to_string()));
                }
                Next::Lagged(n) => told.push(format!("lagged {n}")),
                Next::Closed(_) => told.push("closed".into()),
            }
        }
        told
    }

    #[test]
    fn a_flood_pushes_out_its_like_and_says_so_where_it_happened() {
        let queue = Queue::new(BOUNDS);
        let vital = [1, 5, 9];
        let _ = queue.push_all((1..=10).map(|n| (message(n), vital.contains(&n))));
        assert_eq!(take(&queue), ["1", "lagged 4", "5", "7", "8", "9", "10"]);
        assert!(take(&queue).is_empty());
    }

    #[test]
    fn messages_dropped_before_the_tally_began_still_count_after_it() {
        let queue = Queue::new(BOUNDS);
        let _ = queue.push_all((1..=5).map(|n| (message(n), false)));
        queue.tally();
        queue.retain(|_| true, |_| true);
        assert_eq!(take(&queue), ["lagged 2", "3", "4", "5"]);
    }

    #[test]
    fn the_byte_bound_counts_too_but_the_newest_stays() {
        let queue = Queue::new(Bounds {
            events: 100,
            bytes: 1,
        });
        let _ = queue.push_all((1..=3).map(|n| (message(n), false)));
        assert_eq!(take(&queue), ["lagged 2", "3"]);
    }

    #[test]
    fn messages_before_the_end_are_read_first() {
        let queue = Queue::new(BOUNDS);
        let _ = queue.push_all([(message(1), false)]);
        queue.close(&Closed::default());
        assert_eq!(take(&queue), ["1"]);
        assert_eq!(take(&queue), ["closed"]);
    }

    #[test]
    fn a_narrowed_queue_keeps_what_fits() {
        let queue = Queue::new(BOUNDS);
        let _ = queue.push_all((1..=3).map(|n| (message(n), n == 2)));
        queue.retain(|m| m.seq() != 1, |_| true);
        assert_eq!(take(&queue), ["2", "3"]);
    }
}

#[cfg(test)]
#[path = "queue_model_tests.rs"]
mod model_tests;

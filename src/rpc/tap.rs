//! Taps on the wire: every line of both directions, in order, none lost. The one thing that the reader waits for, and
//! only while somebody has asked for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

/// A line as a tap keeps it.
#[derive(Clone)]
pub(crate) struct Tapped {
    pub(crate) number: u64,
    pub(crate) to_server: bool,
    pub(crate) line: Arc<str>,
}

/// All taps of a connection.
#[derive(Default)]
pub(crate) struct Taps {
    /// Whether there are any; read on every line.
    any: AtomicBool,
    state: Mutex<State>,
    /// A tap has room again, or is gone.
    room: Notify,
}

#[derive(Default)]
struct State {
    number: u64,
    taps: Vec<Weak<Tap>>,
    ended: bool,
}

pub(crate) struct Tap {
    owner: Arc<Taps>,
    bound: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Tapped>,
    bytes: usize,
    ended: bool,
    waker: Option<Waker>,
}

impl Taps {
    /// A tap that makes the reader wait while `bound` lines, or 16 MiB of them, wait to be read from it.
    pub(crate) fn open(self: &Arc<Self>, bound: usize) -> Arc<Tap> {
        let mut state = lock(&self.state);
        let queue = Queue {
            ended: state.ended,
            ..Queue::default()
        };
        let tap = Arc::new(Tap {
            owner: self.clone(),
            bound: bound.max(1),
            queue: Mutex::new(queue),
        });
        state.taps.push(Arc::downgrade(&tap));
        self.any.store(true, Ordering::Release);
        tap
    }

    /// Takes note of a line. Never waits: what goes to the server is bounded by the requests in flight.
    pub(crate) fn note(&self, to_server: bool, line: &[u8]) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut state = lock(&self.state);
        state.number += 1;
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        let tapped = Tapped {
            number: state.number,
            to_server,
            line: text.into(),
        };
        for tap in state.taps.iter().filter_map(Weak::upgrade) {
            tap.push(tapped.clone());
        }
    }

    /// A line was too long to keep: its number stays free.
    pub(crate) fn skip(&self) {
        if self.any.load(Ordering::Acquire) {
            lock(&self.state).number += 1;
        }
    }

    /// Waits until every tap has room. Cancel safe.
    pub(crate) async fn room(&self) {
        while self.any.load(Ordering::Acquire) {
            let mut freed = std::pin::pin!(self.room.notified());
            freed.as_mut().enable(); // NB. Before looking, or the wake-up in between is lost.
            if !self.is_full() {
                return;
            }
            freed.await;
        }
    }

    fn is_full(&self) -> bool {
        let taps: Vec<_> = lock(&self.state)
            .taps
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        taps.iter().any(|tap| tap.is_full(&lock(&tap.queue)))
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        for tap in state.taps.iter().filter_map(Weak::upgrade) {
            let mut queue = lock(&tap.queue);
            queue.ended = true;
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The bound beside the number of lines: that many may be of any size.
const MAX_BYTES: usize = 16 * 1024 * 1024;

impl Tap {
    fn is_full(&self, queue: &Queue) -> bool {
        queue.lines.len() >= self.bound || queue.bytes >= MAX_BYTES
    }

    fn push(&self, line: Tapped) {
        let mut queue = lock(&self.queue);
        queue.bytes += line.line.len();
        queue.lines.push_back(line);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }

    /// How many lines wait to be read.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.queue).lines.len()
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Tapped>> {
        let mut queue = lock(&self.queue);
        let was_full = self.is_full(&queue);
        if let Some(line) = queue.lines.pop_front() {
            queue.bytes -= line.line.len();
            let has_room = was_full && !self.is_full(&queue);
            drop(queue);
            if has_room {
                self.owner.room.notify_waiters();
            }
            return Poll::Ready(Some(line));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut state = lock(&self.owner.state);
        state.taps.retain(|tap| tap.strong_count() > 0);
        self.owner
            .any
            .store(!state.taps.is_empty(), Ordering::Release);
        drop(state);
        self.owner.room.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

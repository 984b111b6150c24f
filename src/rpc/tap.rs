//! Taps on the wire: every line of both directions, in order, none lost.
//!
//! A tap that is full makes the reader and the requests wait. Nothing else does, and a user has to open one first. One lock
//! guards all taps. Nothing is woken or dropped under it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use super::{
    lock::Lock,
    sync::{AtomicBool, Ordering},
};

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
    /// Whether there are taps; read on every line.
    any: AtomicBool,
    state: Lock<State>,
    /// A tap has room again, or is gone.
    room: Notify,
}

#[derive(Default)]
struct State {
    number: u64,
    next_id: u64,
    taps: Vec<Lines>,
    ended: bool,
}

/// The lines that wait in one tap.
struct Lines {
    id: u64,
    /// The most lines.
    bound: usize,
    queue: VecDeque<Tapped>,
    bytes: usize,
    waker: Option<Waker>,
}

/// The most bytes of a tap, since lines may be of any size.
const MAX_BYTES: usize = 16 * 1024 * 1024;

impl Lines {
    fn is_full(&self) -> bool {
        self.queue.len() >= self.bound || self.bytes >= MAX_BYTES
    }
}

/// Wakers to be woken once no lock is held.
#[derive(Debug, Default)]
#[must_use = "somebody waits"]
pub(crate) struct Wakers(Vec<Waker>);

impl FromIterator<Waker> for Wakers {
    fn from_iter<I: IntoIterator<Item = Waker>>(wakers: I) -> Self {
        Self(wakers.into_iter().collect())
    }
}

impl Wakers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn wake(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

/// The reader's end of a tap. Dropping it ends the tap.
pub(crate) struct Tap {
    owner: Arc<Taps>,
    id: u64,
}

impl Taps {
    /// Opens a tap, which makes the reader and the requests wait while `bound` lines, or 16 MiB, wait in it.
    pub(crate) fn open(self: &Arc<Self>, bound: usize) -> Tap {
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.taps.push(Lines {
            id,
            bound: bound.max(1),
            queue: VecDeque::new(),
            bytes: 0,
            waker: None,
        });
        self.any.store(true, Ordering::Release);
        drop(state);
        Tap {
            owner: self.clone(),
            id,
        }
    }

    /// Adds a line to all taps, whether there is room or not: one from the server, or an answer to it.
    pub(crate) fn note(&self, to_server: bool, line: &[u8]) -> Wakers {
        if !self.any.load(Ordering::Acquire) {
            return Wakers::default();
        }
        let line = text(line);
        self.state.lock().push(to_server, &line)
    }

    /// Leaves out the number of a line that was too long to keep.
    pub(crate) fn skip(&self) {
        if self.any.load(Ordering::Acquire) {
            self.state.lock().number += 1;
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

    /// Whether a tap is full.
    pub(crate) fn is_full(&self) -> bool {
        self.any.load(Ordering::Acquire) && self.state.lock().taps.iter().any(Lines::is_full)
    }

    /// Ends all taps: nothing more will come.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let wakers: Wakers = state
            .taps
            .iter_mut()
            .filter_map(|t| t.waker.take())
            .collect();
        drop(state);
        wakers.wake();
    }
}

impl State {
    fn push(&mut self, to_server: bool, line: &Arc<str>) -> Wakers {
        self.number += 1;
        let mut wakers = Wakers::default();
        for tap in &mut self.taps {
            tap.bytes += line.len();
            tap.queue.push_back(Tapped {
                number: self.number,
                to_server,
                line: line.clone(),
            });
            wakers.0.extend(tap.waker.take());
        }
        wakers
    }
}

fn text(line: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into()
}

impl Tap {
    /// How many lines wait to be read.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.owner.state.lock();
        let tap = state.taps.iter().find(|tap| tap.id == self.id);
        tap.map_or(0, |tap| tap.queue.len())
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Tapped>> {
        let mut ours = None;
        loop {
            let mut state = self.owner.state.lock();
            let ended = state.ended;
            // The entry lives as long as `self`.
            let Some(tap) = state.taps.iter_mut().find(|tap| tap.id == self.id) else {
                return Poll::Ready(None);
            };
            let was_full = tap.is_full();
            if let Some(line) = tap.queue.pop_front() {
                tap.bytes -= line.line.len();
                let has_room = was_full && !tap.is_full();
                drop(state);
                if has_room {
                    self.owner.room.notify_waiters();
                }
                return Poll::Ready(Some(line));
            }
            if ended {
                return Poll::Ready(None);
            }
            if tap.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            // NB. A waker is foreign code: it is cloned and dropped without the lock, so what there is is looked at again.
            if let Some(ours) = ours.take() {
                let before = tap.waker.replace(ours);
                drop(state);
                drop(before);
                return Poll::Pending;
            }
            drop(state);
            ours = Some(cx.waker().clone());
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut state = self.owner.state.lock();
        let at = state.taps.iter().position(|tap| tap.id == self.id);
        let gone = at.map(|at| state.taps.remove(at));
        let any = !state.taps.is_empty();
        self.owner.any.store(any, Ordering::Release);
        drop(state);
        drop(gone);
        self.owner.room.notify_waiters();
    }
}

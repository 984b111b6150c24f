//! What the reading half tells the writing half, and the other way round.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use bytes::Bytes;

/// Held by both halves. The lock is never held over anything that waits.
#[derive(Default)]
pub(super) struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// A ping is to be sent.
    ping: bool,
    /// The payload of the last ping of the server, which is to be answered. Earlier ones need no answer of their own.
    pong: Option<Bytes>,
    writer: Option<Waker>,
    reader: Option<Waker>,
    /// The writing half was dropped in good order.
    closed: bool,
}

/// What the writing half has to send between two frames.
pub(super) struct Control {
    pub(super) ping: bool,
    pub(super) pong: Option<Bytes>,
}

impl Shared {
    pub(super) fn ask_for_ping(&self) {
        self.wake_writer(|state| state.ping = true);
    }

    pub(super) fn ask_for_pong(&self, payload: Bytes) {
        self.wake_writer(|state| state.pong = Some(payload));
    }

    fn wake_writer(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.writer.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What is to be sent, and the waker for what will be.
    pub(super) fn take_control(&self, cx: &Context<'_>) -> Control {
        let mut state = self.lock();
        match &mut state.writer {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Control {
            ping: std::mem::take(&mut state.ping),
            pong: state.pong.take(),
        }
    }

    /// The reading half reads no more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waker = state.reader.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the writing half is gone; if not, the reader is woken when it goes.
    pub(super) fn is_closed(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        match &mut state.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        state.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

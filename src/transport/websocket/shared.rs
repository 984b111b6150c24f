//! What the reading half tells the writing half, and the other way round.

use std::task::{Context, Waker};

use bytes::Bytes;

use crate::rpc::Lock;

/// The state that both halves share. The lock is never held across anything that waits.
#[derive(Default)]
pub(super) struct Shared(Lock<State>);

#[derive(Default)]
struct State {
    /// Whether a ping has to be sent.
    ping: bool,
    /// The payload of the server's last ping, which needs an answer. Earlier pings need no answer
    /// of their own.
    pong: Option<Bytes>,
    writer: Option<Waker>,
    reader: Option<Waker>,
    /// Whether the writing half was dropped in good order.
    closed: bool,
}

/// The control frames that the writing half has to send between two frames.
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
        let mut state = self.0.lock();
        change(&mut state);
        let waker = state.writer.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes what has to be sent now, and registers the waker for what comes later.
    pub(super) fn take_control(&self, cx: &Context<'_>) -> Control {
        let mut state = self.0.lock();
        match &mut state.writer {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Control {
            ping: std::mem::take(&mut state.ping),
            pong: state.pong.take(),
        }
    }

    /// Records that the reading half reads no more.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let waker = state.reader.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the writing half is gone. If not, the reader is woken when it goes.
    pub(super) fn is_closed(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        match &mut state.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        state.closed
    }
}

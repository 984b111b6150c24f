//! The pipes between a client and a `FakeServer`, in memory. No tasks, and no waits on the server's
//! side.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, MutexGuard},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::rpc::Lock;

/// Handles a line of the client, in the task that writes it.
pub(super) type OnLine = Box<dyn Fn(&str) + Send + Sync>;

/// Both directions. Each end holds a clone.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Lock<State>>);

#[derive(Default)]
struct State {
    to_client: VecDeque<u8>,
    reader: Option<Waker>,
    /// The start of a line that the client has not finished.
    unfinished: Vec<u8>,
    closed: bool,
}

impl Wire {
    /// Writes a line to the client.
    pub(super) fn say(&self, line: &str) {
        let mut state = self.0.lock();
        if state.closed {
            return;
        }
        state.to_client.extend(line.as_bytes());
        state.to_client.push_back(b'\n');
        wake(state);
    }

    /// Closes both directions. The client can still read what was written.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        wake(state);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The end that the client reads.
pub(super) struct Output(pub(super) Wire);

impl AsyncRead for Output {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.0.lock();
        if state.to_client.is_empty() {
            if state.closed {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (ready, _) = state.to_client.as_slices();
        let n = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..n]);
        state.to_client.drain(..n);
        Poll::Ready(Ok(()))
    }
}

/// The end that the client writes.
pub(super) struct Input {
    pub(super) wire: Wire,
    pub(super) on_line: OnLine,
}

impl AsyncWrite for Input {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.wire.0.lock();
        if state.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        state.unfinished.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = state.unfinished.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = state.unfinished.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        drop(state); // `on_line` may answer into the same wire.
        for line in &lines {
            (self.on_line)(line);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // The real server ends with its input.
        self.wire.close();
    }
}

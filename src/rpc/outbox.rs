//! Writing: whole frames only, answers before requests, no task hop when the pipe is idle.
//!
//! A frame is handed over complete, so a caller that is cancelled can't leave half a line. The owner of the pipe is the
//! outbox; the writer task ([`Outbox::drive`]) flushes what a caller left behind. A caller whose frame finds an empty
//! outbox writes it at once with the writer task's waker: if the pipe is full, it is the writer task that is woken.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

use super::{
    sync::{Mutex, MutexGuard},
    tap::Taps,
};

pub(crate) type Sink = Pin<Box<dyn AsyncWrite + Send>>;

/// Which lane a frame takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// An answer to the server: it goes before all waiting requests.
    Reply,
    /// A request; `alone` says that no other one is on its way, so that coalescing has nothing to gain.
    Request {
        /// Nothing else is in flight.
        alone: bool,
    },
}

pub(crate) struct Outbox {
    state: Mutex<State>,
    taps: Arc<Taps>,
}

struct State {
    /// `None` once closed.
    sink: Option<Sink>,
    /// What is being written; a frame once begun is finished first.
    current: BytesMut,
    replies: BytesMut,
    requests: BytesMut,
    writer: Waker,
    error: Option<io::Error>,
    closing: bool,
    max_waiting: usize,
}

/// How many bytes may wait for a server that does not read. It takes thousands of requests that nobody waits for any
/// more, or of answers to requests of the server, to get there: the connection is of no use then, and memory is.
const WAITING: usize = 256 * 1024 * 1024;

impl Outbox {
    pub(crate) fn new(sink: Sink) -> Self {
        let state = Mutex::new(State {
            sink: Some(sink),
            current: BytesMut::new(),
            replies: BytesMut::new(),
            requests: BytesMut::new(),
            writer: Waker::noop().clone(),
            error: None,
            closing: false,
            max_waiting: WAITING,
        });
        Self {
            state,
            taps: Arc::default(),
        }
    }

    pub(crate) fn taps(&self) -> &Arc<Taps> {
        &self.taps
    }

    /// Queues one frame, its newline included. After the end it is dropped: the router tells the callers.
    pub(crate) fn send(&self, lane: Lane, frame: &[u8]) {
        let mut state = self.lock();
        if state.sink.is_none() || state.closing {
            return;
        }
        if state.replies.len() + state.requests.len() > state.max_waiting {
            state.error = Some(io::Error::other("the server does not read what it is sent"));
            let waker = state.writer.clone();
            drop(state);
            waker.wake();
            return;
        }
        // Under the lock: the numbers of the lines are in the order in which they are written.
        self.taps.note(true, frame);
        let idle =
            state.current.is_empty() && state.replies.is_empty() && state.requests.is_empty();
        match lane {
            Lane::Reply => state.replies.extend_from_slice(frame),
            Lane::Request { .. } => state.requests.extend_from_slice(frame),
        }
        // Until the writer task has been polled once its waker is a no-op, but then that first poll writes all.
        if idle {
            let waker = state.writer.clone();
            if matches!(lane, Lane::Request { alone: false }) {
                drop(state);
                waker.wake();
            } else if state
                .poll_flush(&mut Context::from_waker(&waker))
                .is_ready()
                && state.error.is_some()
            {
                waker.wake();
            }
        }
    }

    /// Flushes for as long as the outbox is open. Ends when it was closed or the pipe broke.
    pub(crate) async fn drive(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut state = self.lock();
            if !state.writer.will_wake(cx.waker()) {
                state.writer.clone_from(cx.waker());
            }
            if state.poll_flush(cx).is_pending() {
                return Poll::Pending;
            }
            match state.error.take() {
                Some(error) => {
                    state.sink = None;
                    Poll::Ready(Err(error))
                }
                None if state.closing => {
                    state.sink = None; // Dropping the pipe is the end of file that the server waits for.
                    Poll::Ready(Ok(()))
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Takes no more frames; the writer task ends when the queued ones are written.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        let waker = state.writer.clone();
        drop(state);
        waker.wake();
    }

    /// Drops the pipe with whatever is still queued.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.sink = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes until nothing is left, the pipe is full, or it breaks (then `error` is set).
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sink) = &mut self.sink else {
            return Poll::Ready(());
        };
        if self.error.is_some() {
            return Poll::Ready(());
        }
        loop {
            if self.current.is_empty() {
                // NB. Order is load-bearing: an answer overtakes every request that has not begun.
                let next = if self.replies.is_empty() {
                    &mut self.requests
                } else {
                    &mut self.replies
                };
                if next.is_empty() {
                    break;
                }
                std::mem::swap(&mut self.current, next);
            }
            match sink.as_mut().poll_write(cx, &self.current) {
                Poll::Ready(Ok(0)) => {
                    self.error = Some(io::ErrorKind::WriteZero.into());
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(n)) => self.current.advance(n),
                Poll::Ready(Err(e)) => {
                    self.error = Some(e);
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        // One large frame should not be held for the rest of the connection.
        if self.current.capacity() > KEEP {
            self.current = BytesMut::new();
        }
        match sink.as_mut().poll_flush(cx) {
            Poll::Ready(Err(e)) => {
                self.error = Some(e);
                Poll::Ready(())
            }
            other => other.map(drop),
        }
    }
}

const KEEP: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::{io::AsyncReadExt as _, time::timeout};

    use super::*;

    const ALONE: Lane = Lane::Request { alone: true };

    #[tokio::test]
    async fn a_lone_frame_is_written_before_send_returns() {
        let (near, mut far) = tokio::io::duplex(1024);
        let outbox = Outbox::new(Box::pin(near));
        outbox.send(ALONE, b"a\n");
        let mut buf = [0; 2];
        far.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"a\n");
    }

    #[tokio::test]
    async fn answers_overtake_waiting_requests_but_never_cut_one() {
        let (near, mut far) = tokio::io::duplex(4);
        let outbox = Arc::new(Outbox::new(Box::pin(near)));
        outbox.send(ALONE, b"request-1\n"); // begun: 4 bytes are in the pipe
        outbox.send(ALONE, b"request-2\n");
        outbox.send(Lane::Reply, b"reply\n");
        let driver = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.drive().await }
        });
        outbox.close();
        let mut all = String::new();
        timeout(Duration::from_secs(5), far.read_to_string(&mut all))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(all, "request-1\nreply\nrequest-2\n");
        driver.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_server_that_does_not_read_ends_the_writer_before_memory_does() {
        let (near, mut far) = tokio::io::duplex(4);
        let outbox = Arc::new(Outbox::new(Box::pin(near)));
        outbox.lock().max_waiting = 1_000;
        let driver = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.drive().await }
        });
        for _ in 0..10_000 {
            outbox.send(Lane::Reply, b"{\"id\":1,\"result\":{}}\n");
        }
        assert!(outbox.lock().replies.capacity() < 4_000);
        let end = timeout(Duration::from_secs(5), driver)
            .await
            .unwrap()
            .unwrap();
        assert!(end.unwrap_err().to_string().contains("does not read"));
        // The pipe has been let go.
        timeout(Duration::from_secs(5), far.read_to_end(&mut Vec::new()))
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn a_broken_pipe_ends_the_writer_whoever_met_it() {
        let (near, far) = tokio::io::duplex(4);
        let outbox = Arc::new(Outbox::new(Box::pin(near)));
        let driver = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.drive().await }
        });
        tokio::task::yield_now().await;
        drop(far);
        outbox.send(ALONE, b"x\n");
        let end = timeout(Duration::from_secs(5), driver)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        outbox.send(ALONE, b"y\n");
    }
}

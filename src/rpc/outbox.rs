//! Writing: whole frames only, answers before requests, no task hop when the pipe is idle.
//!
//! A frame is handed over complete, so a caller that is cancelled cannot leave half a line. The outbox owns the pipe; the
//! writer task ([`Outbox::drive`]) flushes what callers left behind. A caller that finds the outbox empty writes its frame
//! itself, with the writer task's waker: if the pipe is full, the writer task is woken.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

use super::{lock::Lock, tap::Taps};

pub(crate) type Sink = Pin<Box<dyn AsyncWrite + Send>>;

/// Which lane a frame takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// An answer to the server. It overtakes all requests that wait.
    Reply,
    Request,
}

pub(crate) struct Outbox {
    state: Lock<State>,
    taps: Arc<Taps>,
}

struct State {
    pipe: Pipe,
    /// The frames being written: a frame that has begun is finished first. Empty while the pipe is in use.
    current: BytesMut,
    replies: BytesMut,
    requests: BytesMut,
    writer: Waker,
    /// How often the writer task was polled, which tells wakers apart. NB. Comparing wakers does not: two equal ones may be
    /// said to differ, and the writer would wake itself for ever.
    polls: u64,
    error: Option<io::Error>,
    closing: bool,
    max_waiting: usize,
}

/// The pipe is foreign code, so nobody holds the lock while it is used.
enum Pipe {
    Idle(Sink),
    /// Whoever writes has it, and brings it back.
    InUse,
    Closed,
}

/// How many bytes may wait for a server that does not read. Thousands of requests whose callers have gone, or of answers,
/// are needed to get there; the connection is ended then, to bound its memory.
const WAITING: usize = 256 * 1024 * 1024;

/// A larger buffer is given back once the large frame that needed it is written.
const KEEP: usize = 1024 * 1024;

impl Outbox {
    pub(crate) fn new(sink: Sink) -> Self {
        let state = Lock::new(State {
            pipe: Pipe::Idle(sink),
            current: BytesMut::new(),
            replies: BytesMut::new(),
            requests: BytesMut::new(),
            writer: Waker::noop().clone(),
            polls: 0,
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

    /// Queues one frame with its newline, and writes it if the pipe is idle. After the end the frame is dropped: the router
    /// tells the callers.
    pub(crate) fn send(&self, lane: Lane, frame: &[u8]) {
        self.queue(lane, frame);
        self.flush();
    }

    /// Queues one frame with its newline, to be written by the next [`flush`](Self::flush) or the writer task once it is
    /// [woken](Self::wake_writer).
    pub(crate) fn queue(&self, lane: Lane, frame: &[u8]) {
        let mut state = self.state.lock();
        if state.closing || matches!(state.pipe, Pipe::Closed) {
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
        let readers = self.taps.note(true, frame);
        match lane {
            Lane::Reply => state.replies.extend_from_slice(frame),
            Lane::Request => state.requests.extend_from_slice(frame),
        }
        drop(state);
        readers.wake();
    }

    /// Writes what is queued, unless somebody else does. The writer task writes what the pipe does not take.
    pub(crate) fn flush(&self) {
        let state = self.state.lock();
        // A frame that has begun waits for the pipe, and the writer task with it.
        if !matches!(state.pipe, Pipe::Idle(_)) || !state.current.is_empty() || state.is_empty() {
            return;
        }
        // Until the writer task has been polled once its waker is a no-op, but then that first poll writes all.
        let (writer, polls) = (state.writer.clone(), state.polls);
        drop(state);
        let _ = self.write(&mut Context::from_waker(&writer), polls, false);
    }

    /// Has the writer task write what is queued.
    pub(crate) fn wake_writer(&self) {
        let state = self.state.lock();
        // Whoever writes, or waits for the pipe, goes on with what came meanwhile.
        let is_idle = matches!(state.pipe, Pipe::Idle(_)) && state.current.is_empty();
        let writer = is_idle.then(|| state.writer.clone());
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Flushes for as long as the outbox is open. Ends when the outbox is closed or the pipe breaks.
    pub(crate) async fn drive(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut state = self.state.lock();
            state.polls += 1;
            let polls = state.polls;
            let before = std::mem::replace(&mut state.writer, waker);
            drop(state);
            drop(before);
            if self.write(cx, polls, true).is_pending() {
                return Poll::Pending;
            }
            let mut state = self.state.lock();
            let end = match state.error.take() {
                Some(error) => Err(error),
                None if state.closing => Ok(()),
                None => return Poll::Pending,
            };
            // Dropping the pipe is the end of file that the server waits for.
            let pipe = std::mem::replace(&mut state.pipe, Pipe::Closed);
            drop(state);
            drop(pipe);
            Poll::Ready(end)
        })
        .await
    }

    /// Takes no more frames. The writer task ends when the queued ones are written.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        let waker = state.writer.clone();
        drop(state);
        waker.wake();
    }

    /// Drops the pipe at once if it takes what is queued. Does not need the writer task, whose runtime may not be driven.
    pub(crate) fn close_if_idle(&self) {
        self.flush();
        let mut state = self.state.lock();
        if !state.is_empty() || !matches!(state.pipe, Pipe::Idle(_)) {
            return;
        }
        state.closing = true;
        let pipe = std::mem::replace(&mut state.pipe, Pipe::Closed);
        drop(state);
        drop(pipe);
    }

    /// Drops the pipe with whatever is still queued.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        let pipe = std::mem::replace(&mut state.pipe, Pipe::Closed);
        drop(state);
        drop(pipe);
    }

    /// Writes until nothing is left, the pipe is full, or the pipe breaks (then `error` is set). A caller writes only what
    /// was queued when it began. Pending, too, while another caller writes.
    ///
    /// The waker is the one that the writer task had at its poll number `polls`.
    fn write(&self, cx: &mut Context<'_>, polls: u64, is_writer: bool) -> Poll<()> {
        let mut state = self.state.lock();
        if state.error.is_some() {
            return Poll::Ready(());
        }
        let mut sink = match std::mem::replace(&mut state.pipe, Pipe::InUse) {
            Pipe::Idle(sink) => sink,
            Pipe::InUse => return Poll::Pending,
            Pipe::Closed => {
                state.pipe = Pipe::Closed;
                return Poll::Ready(());
            }
        };
        if state.current.is_empty() {
            state.next();
        }
        let mut current = std::mem::take(&mut state.current);
        drop(state);
        let written = loop {
            match poll_write_all(sink.as_mut(), &mut current, cx) {
                Poll::Ready(Ok(())) if is_writer => {}
                written => break written,
            }
            let mut state = self.state.lock();
            if !state.next() {
                break Poll::Ready(Ok(()));
            }
            std::mem::swap(&mut current, &mut state.current);
        };
        self.bring_back(sink, current, written, polls)
    }

    fn bring_back(
        &self,
        sink: Sink,
        current: BytesMut,
        written: Poll<io::Result<()>>,
        polls: u64,
    ) -> Poll<()> {
        let mut state = self.state.lock();
        let mut wake = state.closing;
        let gone = if matches!(state.pipe, Pipe::Closed) {
            Some(sink)
        } else {
            state.pipe = Pipe::Idle(sink);
            None
        };
        // One large frame should not be held for the rest of the connection.
        if !current.is_empty() || (state.current.is_empty() && current.capacity() <= KEEP) {
            state.current = current;
        }
        let ended = match written {
            Poll::Ready(Ok(())) => {
                wake |= !state.is_empty(); // What came meanwhile is left to the writer.
                Poll::Ready(())
            }
            Poll::Ready(Err(error)) => {
                state.error = Some(error);
                wake = true;
                Poll::Ready(())
            }
            // The pipe knows the waker that this had; the writer may have another one by now.
            Poll::Pending => {
                wake |= state.polls != polls;
                Poll::Pending
            }
        };
        let writer = wake.then(|| state.writer.clone());
        drop(state);
        drop(gone);
        if let Some(writer) = writer {
            writer.wake();
        }
        ended
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.current.is_empty() && self.replies.is_empty() && self.requests.is_empty()
    }

    /// Makes the waiting frames the current ones; `false` if none wait.
    fn next(&mut self) -> bool {
        // NB. Order is load-bearing: an answer overtakes every request that has not begun.
        let next = if self.replies.is_empty() {
            &mut self.requests
        } else {
            &mut self.replies
        };
        std::mem::swap(&mut self.current, next);
        !self.current.is_empty()
    }
}

fn poll_write_all(
    mut sink: Pin<&mut (dyn AsyncWrite + Send)>,
    bytes: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        match ready!(sink.as_mut().poll_write(cx, bytes))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => bytes.advance(n),
        }
    }
    sink.poll_flush(cx)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::{io::AsyncReadExt as _, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_lone_frame_is_written_before_send_returns() {
        let (near, mut far) = tokio::io::duplex(1024);
        let outbox = Outbox::new(Box::pin(near));
        outbox.send(Lane::Request, b"a\n");
        let mut buf = [0; 2];
        far.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"a\n");
    }

    #[tokio::test]
    async fn a_queued_frame_does_not_keep_an_idle_pipe_open() {
        let (near, mut far) = tokio::io::duplex(1024);
        let outbox = Outbox::new(Box::pin(near));
        outbox.queue(Lane::Request, b"a\n");
        outbox.close_if_idle();
        let mut all = String::new();
        far.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "a\n");
    }

    #[tokio::test]
    async fn answers_overtake_waiting_requests_but_never_cut_one() {
        let (near, mut far) = tokio::io::duplex(4);
        let outbox = Arc::new(Outbox::new(Box::pin(near)));
        outbox.send(Lane::Request, b"request-1\n"); // begun: 4 bytes are in the pipe
        outbox.send(Lane::Request, b"request-2\n");
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
        outbox.state.lock().max_waiting = 1_000;
        let driver = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.drive().await }
        });
        for _ in 0..10_000 {
            outbox.send(Lane::Reply, b"{\"id\":1,\"result\":{}}\n");
        }
        assert!(outbox.state.lock().replies.capacity() < 4_000);
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
        outbox.send(Lane::Request, b"x\n");
        let end = timeout(Duration::from_secs(5), driver)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        outbox.send(Lane::Request, b"y\n");
    }
}

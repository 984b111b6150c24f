//! The two ends of an instance: lines that are read, and bytes that are written.

use std::{
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Poll, ready},
};

use cas_sdk::internal::{Line, Lines};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use super::{notice::Notice, session::Session, stats::Counts};

/// The lines of one side.
pub(super) struct Input<R> {
    lines: Lines<R>,
    /// Whether the buffer may hold a complete line.
    pub(super) more: bool,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(super) fn new(io: R, max_line: usize) -> Self {
        let lines = Lines::new(io, max_line);
        Self {
            lines,
            more: false,
            ended: false,
        }
    }

    /// For a side where an empty line has a meaning too.
    pub(super) fn with_empty_lines(io: R, max_line: usize) -> Self {
        let mut this = Self::new(io, max_line);
        this.lines.keep_empty();
        this
    }

    pub(super) fn next(&mut self) -> Option<Line<'_>> {
        let line = self.lines.next();
        self.more = line.is_some();
        line
    }

    /// Reads more, once all that was read has been taken.
    pub(super) async fn fill(this: &mut Option<Self>) -> io::Result<bool> {
        match this {
            Some(input) if !input.more && !input.ended => input.lines.fill().await,
            _ => pending().await,
        }
    }

    /// Records the result of [`fill`](Self::fill). A source that fails has ended.
    pub(super) fn filled(this: &mut Option<Self>, more: &io::Result<bool>) {
        if let Some(input) = this {
            input.more = true; // At the end, too: the last line may have no terminator.
            input.ended = !matches!(more, Ok(true));
        }
    }

    /// Whether the last line was taken just now.
    pub(super) fn finish(this: &mut Option<Self>) -> bool {
        let done = this
            .as_ref()
            .is_some_and(|input| input.ended && !input.more);
        if done {
            *this = None;
        }
        done
    }
}

/// Where the events go.
pub(super) struct Output<O> {
    pub(super) to: O,
    /// Whether the write that is under way has had to wait.
    pub(super) waited: bool,
}

impl<O: AsyncWrite + Unpin> Output<O> {
    /// Writes a part of `bytes`; waits for ever if there are none. Cancel safe: nothing is written
    /// before it is ready.
    pub(super) async fn write(&mut self, bytes: &[u8], counts: &mut Counts) -> io::Result<usize> {
        if bytes.is_empty() {
            return pending().await;
        }
        let wrote = poll_fn(|cx| {
            let poll = Pin::new(&mut self.to).poll_write(cx, bytes);
            if poll.is_pending() && !self.waited {
                self.waited = true;
                counts.stdout_backpressure_count += 1;
            }
            poll
        })
        .await;
        self.waited = false;
        match wrote {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        }
    }

    /// Writes waiting events until the work is done; returns `None` if nobody reads them. As cancel
    /// safe as the work.
    pub(super) async fn write_during<T>(
        &mut self,
        session: &mut Session,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let Session { events, counts, .. } = session;
        loop {
            tokio::select! {
                biased;
                wrote = self.write(events.queue.front(), counts) => {
                    let wrote = wrote.ok()?;
                    counts.stdout_writes += 1;
                    events.queue.wrote(wrote);
                }
                done = &mut work => return Some(done),
            }
        }
    }

    /// Writes everything that waits, however slow the reader is, unless the reader goes away or the
    /// instance is told to end.
    pub(super) async fn flush(
        &mut self,
        session: &mut Session,
        notices: &mut mpsc::Receiver<Notice>,
    ) {
        while !session.events.queue.is_empty() {
            let Session { events, counts, .. } = session;
            tokio::select! {
                biased;
                Some(_) = notices.recv() => return,
                wrote = self.write(events.queue.front(), counts) => match wrote {
                    Ok(n) => {
                        counts.stdout_writes += 1;
                        events.queue.wrote(n);
                    }
                    Err(_) => return,
                }
            }
        }
        // Nobody can be told of a failure here.
        let _ = self.to.flush().await;
    }
}

/// Writes a part of `bytes`; if there are none, sends what the connection itself has to send.
/// Cancel safe.
pub(super) async fn write_to<W: AsyncWrite + Unpin>(
    to: &mut Option<W>,
    bytes: &[u8],
) -> io::Result<usize> {
    let Some(to) = to else {
        return pending().await;
    };
    poll_fn(|cx| {
        if !bytes.is_empty() {
            let wrote = ready!(Pin::new(&mut *to).poll_write(cx, bytes));
            // Before the connection may be left. What it can't take now, it takes when it is polled
            // again.
            let _ = Pin::new(&mut *to).poll_flush(cx);
            return Poll::Ready(wrote);
        }
        match Pin::new(&mut *to).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // It wakes when there is more, such as the answer to a ping.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Ends an instance that has no server yet; returns the exit code.
pub(super) async fn ended_early<O: AsyncWrite + Unpin>(
    notice: Notice,
    mut session: Session,
    mut output: Output<O>,
    mut notices: mpsc::Receiver<Notice>,
) -> u8 {
    let Some((name, _)) = notice.signal() else {
        return 0;
    };
    session.events.emit("signal", |m| {
        m.word("signal", name);
    });
    output.flush(&mut session, &mut notices).await;
    1
}

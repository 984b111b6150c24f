//! The reader task: what happens to a line, from the pipe to those who read it.
//!
//! 1. [`Lines`] cuts what one read has brought into lines, and each [tap](Taps) takes note of it.
//! 2. [`Scan`] finds the envelope of a line: what kind of message it is, and where its parts stand.
//! 3. An answer goes to the request that waits for it, after all that the server sent before it.
//! 4. What the dialect observes, it sees first.
//! 5. [`Batch`] decides which subscriptions take a message, and gathers messages that go the same way.
//! 6. The readers of the subscriptions are woken once, after the last line of the read.
//! 7. The requests for which the answers have made place are sent.

mod odd_lines;

use std::io;

use tokio::io::AsyncRead;

use super::{
    batch::Batch,
    block::Draft,
    connection::{Connection, Write},
    envelope::{Envelope, MessageKind, Parts, Text},
    line::{Line, Lines},
    protocol::Protocol,
    reply,
    router::Router,
    scan::{Scan, Scanned},
    tap::Taps,
};

/// Reads until the end of the input, which is `Ok`, or an error. Waits for input and for full taps, for nothing else.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    mut lines: Lines<R>,
    connection: &Connection,
) -> io::Result<()> {
    let Connection { router, taps, .. } = connection;
    let mut state = ReaderState::new(router.protocol);
    loop {
        let more = lines.fill().await?;
        Reader::new(router, &mut state).read(&mut lines, taps);
        connection.send_ready(Write::Now);
        taps.room().await;
        if !more {
            return Ok(());
        }
    }
}

/// What the reader keeps from one read to the next.
pub(super) struct ReaderState {
    scan: Scan,
    draft: Draft,
}

impl ReaderState {
    pub(super) fn new(protocol: &'static Protocol) -> Self {
        Self {
            scan: Scan::new(protocol),
            draft: Draft::default(),
        }
    }
}

/// Routes the lines of one read. Dropping it wakes the readers of what came.
pub(super) struct Reader<'r> {
    router: &'r Router,
    scan: &'r mut Scan,
    batch: Batch<'r>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(router: &'r Router, state: &'r mut ReaderState) -> Self {
        Self {
            router,
            scan: &mut state.scan,
            batch: Batch::new(router, &mut state.draft),
        }
    }

    /// Routes all lines that are there, without a wait in between.
    pub(super) fn read<R: AsyncRead + Unpin>(mut self, lines: &mut Lines<R>, taps: &Taps) {
        while let Some(line) = lines.next() {
            match line {
                Line::Text(bytes) => {
                    self.batch.wake(taps.note(false, bytes));
                    self.line(bytes);
                }
                Line::TooLong { len, head } => {
                    taps.skip();
                    self.too_long(len, &head);
                }
            }
        }
    }

    pub(super) fn line(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(line) => self.text(line),
            Err(_) => self.not_utf8(bytes),
        }
    }

    fn text(&mut self, line: &str) {
        let scanned = self.scan.next(line);
        let mut appended = String::new();
        let text = scanned.text(line, &mut appended);
        if scanned.kind == MessageKind::Response {
            self.response(text, scanned.env);
        } else {
            self.warn_if_odd(scanned.kind, line.len());
            self.event(text, &scanned);
        }
    }

    /// A request, a notification, or what nobody understands: to the dialect, and to the subscriptions that take it.
    fn event(&mut self, text: Text<'_>, scanned: &Scanned) {
        let seq = self.batch.next_seq();
        let to = self.batch.delivery(text, scanned);
        if !to.class.observed {
            self.batch.add(seq, text, scanned, to);
            return;
        }
        let message = self.batch.message(seq, text, scanned);
        self.batch.release(); // The dialect may call back.
        match scanned.kind {
            MessageKind::Request => self.router.dialect.request(&message),
            _ => self.router.dialect.observe(&message),
        }
        self.batch.add_observed(&message, to.class);
    }

    /// An answer: to the hook and the caller of the request that it is for.
    fn response(&mut self, text: Text<'_>, env: Envelope) {
        let parts = Parts::new(text.all, env);
        let id = parts.id().and_then(|id| id.parse::<u64>().ok());
        let Some(mut pending) = id.and_then(|id| self.router.requests.answer(id)) else {
            return self.unexpected(id, text, env);
        };
        if !pending.is_forgotten {
            self.batch.next_seq();
        }
        self.batch.flush(); // NB. What the server sent before the answer is queued before the caller wakes.
        let outcome = reply::outcome(text.line(), parts);
        if let Some(hook) = pending.on_reply.take() {
            hook(&outcome);
        }
        let method = std::mem::take(&mut pending.method);
        if pending.is_forgotten || pending.tell(Ok(outcome)) {
            // NB. After the hook: who reads the event finds what the hook did.
            self.late_response(text, env, &method);
        }
    }
}

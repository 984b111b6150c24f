//! A connection: the router and the outbox, the window of requests in flight, and the reader's loop.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::AsyncRead,
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    batch::{Batch, Desk},
    line::{Line, Lines},
    outbox::{Lane, Outbox},
    router::{OnReply, Outcome, Router},
    tap::Taps,
};
use crate::error::CloseReason;

/// The bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Requests in flight. The server queues 128 and then drops some without a word, so this must stay well below.
    pub(crate) in_flight: usize,
    /// More of them, for what must not wait behind the others, such as an interrupt.
    pub(crate) urgent: usize,
    /// The longest line, in bytes.
    pub(crate) line: usize,
    /// The longest message that the server takes, in bytes.
    pub(crate) outgoing: Option<usize>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Timeout,
    Closed(Arc<CloseReason>),
    /// The answer was over the limit of a line: how long it was, and how it began.
    TooLong(u64, Box<str>),
    /// The request was not sent: it is this long, and the server takes no more than that.
    TooLarge {
        len: usize,
        max: usize,
    },
}

pub(crate) struct Connection {
    pub(crate) router: Arc<Router>,
    pub(crate) taps: Arc<Taps>,
    pub(crate) outbox: Outbox,
    window: Semaphore,
    urgent: Semaphore,
    outgoing: usize,
}

/// How one request is to be made.
pub(crate) struct Send<'a> {
    pub(crate) method: &'a str,
    /// The params as JSON text.
    pub(crate) params: &'a str,
    pub(crate) urgent: bool,
    /// From the call to the answer, the wait for a place in the window included.
    pub(crate) deadline: Option<Duration>,
    pub(crate) on_reply: Option<OnReply>,
}

impl Connection {
    pub(crate) fn new(router: Arc<Router>, outbox: Outbox, limits: Limits) -> Self {
        Self {
            router,
            taps: outbox.taps().clone(),
            outbox,
            window: Semaphore::new(limits.in_flight.max(1)),
            urgent: Semaphore::new(limits.urgent.max(1)),
            outgoing: limits.outgoing.unwrap_or(usize::MAX),
        }
    }

    /// Sends a request and waits for its answer. Dropped midway it forgets the answer, not the work.
    pub(crate) async fn request(&self, send: Send<'_>) -> Result<Outcome, NoAnswer> {
        let deadline = send.deadline;
        let call = async {
            // The permit is held until the answer is there: it is the server's queue that is being spared.
            let _permit = self.permit(send.urgent).await?;
            let mut slot = self
                .router
                .expect(send.on_reply)
                .map_err(NoAnswer::Closed)?;
            let frame = request_frame(slot.id, send.method, send.params);
            if self.is_too_large(&frame) {
                let (len, max) = (frame.len() - 1, self.outgoing);
                return Err(NoAnswer::TooLarge { len, max });
            }
            self.outbox
                .send(Lane::Request { alone: slot.alone }, &frame);
            slot.answer().await
        };
        match deadline {
            None => call.await,
            Some(after) => timeout(after, call).await.unwrap_or(Err(NoAnswer::Timeout)),
        }
    }

    async fn permit(&self, urgent: bool) -> Result<SemaphorePermit<'_>, NoAnswer> {
        let acquired = if urgent {
            match self.window.try_acquire() {
                Ok(permit) => Ok(permit),
                Err(_) => self.urgent.acquire().await,
            }
        } else {
            self.window.acquire().await
        };
        acquired.map_err(|_| NoAnswer::Closed(self.reason()))
    }

    /// Whether a frame, without its newline, is more than the server takes.
    fn is_too_large(&self, frame: &[u8]) -> bool {
        frame.len() - 1 > self.outgoing
    }

    /// Sends a notification.
    pub(crate) fn notify(&self, method: &str, params: Option<&str>) {
        let mut frame = format!(r#"{{"method":{}"#, quoted(method));
        if let Some(params) = params {
            frame.push_str(r#","params":"#);
            frame.push_str(params);
        }
        frame.push_str("}\n");
        self.outbox
            .send(Lane::Request { alone: true }, frame.as_bytes());
    }

    /// Sends a request whose answer nobody waits for but a hook.
    pub(crate) fn send_hooked(&self, method: &str, params: &str, on_reply: OnReply) {
        if let Some(id) = self.router.expect_hooked(on_reply) {
            let frame = request_frame(id, method, params);
            self.outbox.send(Lane::Request { alone: true }, &frame);
        }
    }

    /// Answers a request of the server; `body` is the JSON text of the member `key`.
    pub(crate) fn reply(&self, id: &str, key: &'static str, body: &str) {
        let mut frame = format!("{{\"id\":{id},\"{key}\":{body}}}\n");
        if self.is_too_large(frame.as_bytes()) {
            // It would cost the connection; and no answer at all would be waited for for ever.
            let text = format!(
                "the answer has {} bytes, and the server takes {}",
                frame.len() - 1,
                self.outgoing
            );
            tracing::warn!(target: "cas_sdk", id, "{text}");
            let error = serde_json::json!({"code": -32603, "message": text});
            frame = format!("{{\"id\":{id},\"error\":{error}}}\n");
        }
        self.outbox.send(Lane::Reply, frame.as_bytes());
    }

    /// Ends all that waits.
    pub(crate) fn close(&self, reason: &Arc<CloseReason>) {
        self.outbox.abandon();
        self.router.close(reason);
        self.taps.end();
        self.window.close();
        self.urgent.close();
    }

    fn reason(&self) -> Arc<CloseReason> {
        self.router
            .closed()
            .unwrap_or_else(|| Arc::new(CloseReason::shutdown()))
    }
}

/// The reader task: until the end of the input, which is `Ok`, or an error.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    mut lines: Lines<R>,
    router: &Router,
    taps: &Taps,
) -> io::Result<()> {
    let mut desk = Desk::default();
    loop {
        let more = lines.fill().await?;
        route(&mut lines, router, taps, &mut desk);
        taps.room().await;
        if !more {
            return Ok(());
        }
    }
}

/// Routes all lines that are there, without a wait in between: it holds the router's lock for most of the time.
fn route<R: AsyncRead + Unpin>(
    lines: &mut Lines<R>,
    router: &Router,
    taps: &Taps,
    desk: &mut Desk,
) {
    let mut batch = Batch::new(router, desk);
    while let Some(line) = lines.next() {
        match line {
            Line::Text(text) => {
                taps.note(false, text);
                batch.line(text);
            }
            Line::TooLong { len, head } => {
                taps.skip();
                batch.too_long(len, &head);
            }
        }
    }
}

fn request_frame(id: u64, method: &str, params: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(params.len() + method.len() + 48);
    frame.extend_from_slice(br#"{"id":"#);
    frame.extend_from_slice(id.to_string().as_bytes());
    frame.extend_from_slice(br#","method":"#);
    frame.extend_from_slice(quoted(method).as_bytes());
    frame.extend_from_slice(br#","params":"#);
    frame.extend_from_slice(params.as_bytes());
    frame.extend_from_slice(b"}\n");
    frame
}

/// A method as a JSON string. Known ones need no escapes; a caller of `request_raw` may write anything.
fn quoted(method: &str) -> String {
    serde_json::Value::from(method).to_string()
}

impl std::fmt::Debug for Connection {
    #[inline]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

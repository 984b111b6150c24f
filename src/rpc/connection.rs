//! A connection: the router and the outbox, the window of requests in flight, and the reader's loop.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{io::AsyncRead, sync::Notify, time::timeout};

use super::{
    batch::{Batch, Desk},
    line::{Line, Lines},
    outbox::{self, Outbox},
    router::{OnReply, Outcome, Router},
    tap::Taps,
    window::{Lane, Place, Window},
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
    /// It was sent, and its time is up.
    Timeout,
    /// Its time was up before it could be sent; this is what it waited for.
    NotSent(&'static str),
    Closed(Arc<CloseReason>),
    /// The answer was over the limit of a line: how long it was, and how it began.
    TooLong(u64, Box<str>),
    /// The request was not sent: it is this long, and the server takes no more than that.
    TooLarge {
        len: usize,
        max: usize,
    },
}

/// What a request that was not sent has waited for.
const NO_PLACE: &str =
    "the requests before it are not answered yet, and no more are sent to a server at a time";
const NO_ROOM: &str = "a `wire()` of this connection is not read, and is full";

pub(crate) struct Connection {
    pub(crate) router: Arc<Router>,
    pub(crate) taps: Arc<Taps>,
    pub(crate) outbox: Outbox,
    window: Window,
    /// Requests of which only their hook waits for the answer, as long as they have no place.
    hooked: Mutex<VecDeque<Hooked>>,
    more_hooked: Notify,
    /// The longest message that the server takes, in bytes.
    outgoing: usize,
}

struct Hooked {
    method: &'static str,
    params: String,
    on_reply: OnReply,
}

/// How one request is to be made.
pub(crate) struct Send<'a> {
    pub(crate) method: &'a str,
    /// The params as JSON text.
    pub(crate) params: &'a str,
    pub(crate) lane: Lane,
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
            window: Window::new(limits.in_flight, limits.urgent),
            hooked: Mutex::default(),
            more_hooked: Notify::new(),
            outgoing: limits.outgoing.unwrap_or(usize::MAX),
        }
    }

    /// Sends a request and waits for its answer. Dropped midway it forgets the answer, not the work.
    pub(crate) async fn request(&self, send: Send<'_>) -> Result<Outcome, NoAnswer> {
        let deadline = send.deadline;
        let mut late = NoAnswer::NotSent(NO_PLACE);
        let call = async {
            let mut on_reply = send.on_reply;
            let mut place = Some(self.place(send.lane).await?);
            loop {
                late = NoAnswer::NotSent(NO_ROOM);
                self.taps.room().await;
                let slot = self.router.expect(send.method, on_reply, place);
                let mut slot = slot.map_err(NoAnswer::Closed)?;
                let frame = request_frame(slot.id, send.method, send.params);
                if self.is_too_large(&frame) {
                    drop(slot.withdraw());
                    let (len, max) = (frame.len() - 1, self.outgoing);
                    return Err(NoAnswer::TooLarge { len, max });
                }
                let alone = slot.alone;
                if self.outbox.offer(outbox::Lane::Request { alone }, &frame) {
                    late = NoAnswer::Timeout;
                    return slot.answer().await;
                }
                (on_reply, place) = slot.withdraw(); // Somebody else has taken the room.
            }
        };
        let answer = match deadline {
            None => return call.await,
            Some(after) => timeout(after, call).await,
        };
        answer.unwrap_or(Err(late))
    }

    /// Waits for a place in the window. Cancel safe.
    async fn place(&self, lane: Lane) -> Result<Place, NoAnswer> {
        if let Some(place) = self.window.try_place(lane) {
            return Ok(place);
        }
        let mut place = std::pin::pin!(self.window.place(lane));
        loop {
            // Places may be taken by requests that were given up, and nobody else looks after those.
            let idle = self.router.reclaim();
            if let Ok(place) = timeout(idle, place.as_mut()).await {
                return place.ok_or_else(|| NoAnswer::Closed(self.router.close_reason()));
            }
        }
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
            .send(outbox::Lane::Request { alone: true }, frame.as_bytes());
    }

    /// Sends a request whose answer nobody waits for but a hook; at once, if there is a place for it.
    pub(crate) fn send_hooked(&self, method: &'static str, params: String, on_reply: OnReply) {
        let hooked = Hooked {
            method,
            params,
            on_reply,
        };
        if self.hooked().is_empty()
            && let Some(place) = self.window.try_place(Lane::Urgent)
        {
            self.send_now(hooked, place);
            return;
        }
        self.hooked().push_back(hooked);
        self.more_hooked.notify_one();
    }

    /// Sends those of them that had to wait for a place, until the end of the connection.
    pub(crate) async fn send_waiting(&self) {
        loop {
            self.more_hooked.notified().await;
            while !self.hooked().is_empty() {
                let Ok(place) = self.place(Lane::Urgent).await else {
                    return;
                };
                let next = self.hooked().pop_front();
                if let Some(next) = next {
                    self.send_now(next, place);
                }
            }
        }
    }

    fn send_now(&self, hooked: Hooked, place: Place) {
        let Hooked {
            method,
            params,
            on_reply,
        } = hooked;
        if let Some(id) = self.router.expect_hooked(on_reply, place) {
            let frame = request_frame(id, method, &params);
            self.outbox
                .send(outbox::Lane::Request { alone: true }, &frame);
        }
    }

    fn hooked(&self) -> MutexGuard<'_, VecDeque<Hooked>> {
        self.hooked.lock().unwrap_or_else(PoisonError::into_inner)
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
            let error = serde_json::json!({"code": -32603, "message": text});
            frame = format!("{{\"id\":{id},\"error\":{error}}}\n");
            let id = id.to_owned();
            self.router.aside.trace(tracing::Level::WARN, move || {
                tracing::warn!(target: "cas_sdk", id, "{text}");
            });
        }
        self.outbox.send(outbox::Lane::Reply, frame.as_bytes());
    }

    /// Ends all that waits.
    pub(crate) fn close(&self, reason: &Arc<CloseReason>) {
        self.outbox.abandon();
        self.router.close(reason);
        self.taps.end();
        self.window.close();
        let hooked = std::mem::take(&mut *self.hooked());
        drop(hooked);
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
                taps.note(false, text).wake();
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

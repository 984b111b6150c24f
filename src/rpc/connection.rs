//! A connection: requests, notifications and answers on their way to the server.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::{
    error::{Closed, NoAnswer},
    outbox::{self, Outbox},
    reply::{OnReply, Outcome},
    router::Router,
    tap::Taps,
    window::{Lane, Place, Window},
};

/// The limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Requests in flight.
    pub(crate) in_flight: usize,
    /// Further requests in flight that must not wait behind the others.
    pub(crate) urgent: usize,
    /// The longest line, in bytes.
    pub(crate) line: usize,
    /// The longest message that the server takes, in bytes; no limit if `None`.
    pub(crate) outgoing: Option<usize>,
}

/// What a request that was not sent has waited for.
const NO_PLACE: &str = "as many requests as the server takes at a time are not answered yet";
const NO_ROOM: &str = "a `wire()` of this connection is full, because it is not read";

pub(crate) struct Connection {
    pub(crate) router: Arc<Router>,
    pub(crate) taps: Arc<Taps>,
    pub(crate) outbox: Outbox,
    window: Window,
    /// Requests whose answer only a hook waits for, as long as they have no place in the window.
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

/// A request that is to be made.
pub(crate) struct OutgoingRequest<'a> {
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

    /// Sends a request and waits for its answer. Dropping the future gives up the answer; the server may still carry the
    /// request out.
    pub(crate) async fn request(&self, outgoing: OutgoingRequest<'_>) -> Result<Outcome, NoAnswer> {
        let OutgoingRequest {
            method,
            params,
            lane,
            deadline,
            mut on_reply,
        } = outgoing;
        let mut late = NoAnswer::NotSent(NO_PLACE);
        let call = async {
            let mut place = Some(self.place(lane).await?);
            loop {
                late = NoAnswer::NotSent(NO_ROOM);
                self.taps.room().await;
                let slot = self.router.requests.expect(method, on_reply, place);
                let mut slot = slot.map_err(NoAnswer::Closed)?;
                let frame = request_frame(slot.id, method, params);
                if self.is_too_large(&frame) {
                    drop(slot.withdraw());
                    let (len, max) = (frame.len() - 1, self.outgoing);
                    return Err(NoAnswer::TooLarge { len, max });
                }
                let alone = slot.alone;
                if self.outbox.offer(outbox::Lane::Request { alone }, &frame) {
                    late = NoAnswer::Timeout;
                    return slot.answer().await.map_err(|none| match none {
                        NoAnswer::Closed(closed) => NoAnswer::Lost(closed),
                        other => other,
                    });
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
            let idle = self.router.requests.reclaim();
            if let Ok(place) = timeout(idle, place.as_mut()).await {
                return place.ok_or_else(|| NoAnswer::Closed(self.router.requests.closed()));
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

    /// Sends a request whose answer only a hook waits for, as soon as there is a place for it. Does not wait.
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

    /// Sends the requests of [`send_hooked`](Self::send_hooked) that have to wait for a place, until the connection ends.
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
        if let Some(id) = self.router.requests.expect_hooked(on_reply, place) {
            let frame = request_frame(id, method, &params);
            self.outbox
                .send(outbox::Lane::Request { alone: true }, &frame);
        }
    }

    fn hooked(&self) -> MutexGuard<'_, VecDeque<Hooked>> {
        self.hooked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request of the server. `body` is the JSON text of the member `key`.
    pub(crate) fn reply(&self, id: &str, key: &'static str, body: &str) {
        let mut frame = format!("{{\"id\":{id},\"{key}\":{body}}}\n");
        if self.is_too_large(frame.as_bytes()) {
            // Sent, it would cost the connection; not sent, the server would wait for ever.
            let (len, max) = (frame.len() - 1, self.outgoing);
            let text = format!("the answer has {len} bytes, and the server takes {max}");
            let error = serde_json::json!({"code": -32603, "message": text});
            frame = format!("{{\"id\":{id},\"error\":{error}}}\n");
            let id = id.to_owned();
            self.router.aside.trace(tracing::Level::WARN, move || {
                tracing::warn!(target: "cas_sdk", id, len, max, "an answer is longer than the server takes: it gets an error");
            });
        }
        self.outbox.send(outbox::Lane::Reply, frame.as_bytes());
    }

    /// Ends everything that waits.
    pub(crate) fn close(&self, closed: &Closed) {
        self.outbox.abandon();
        self.router.close(closed);
        self.taps.end();
        self.window.close();
        let hooked = std::mem::take(&mut *self.hooked());
        drop(hooked);
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

/// A method as a JSON string. Known ones need no escapes; a caller of `call` may write anything.
fn quoted(method: &str) -> String {
    serde_json::Value::from(method).to_string()
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

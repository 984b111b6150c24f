//! A connection: requests, notifications and answers on their way to the server.

use std::{
    sync::{Arc, Mutex, TryLockError},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    error::{Closed, NoAnswer},
    outbox::{self, Outbox},
    outgoing::OutgoingRequest,
    pending::Slot,
    reply::{OnReply, Outcome},
    router::Router,
    tap::Taps,
    window::Lane,
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
    /// The longest message that the server takes, in bytes.
    outgoing: usize,
    /// Held by whoever takes requests out of the window and queues them.
    sending: Mutex<()>,
}

/// When requests are written that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Now,
    /// Now if it is the only one; else by the writer task, together with those that follow.
    Soon,
}

impl Connection {
    pub(crate) fn new(router: Arc<Router>, outbox: Outbox, limits: Limits) -> Self {
        Self {
            router,
            taps: outbox.taps().clone(),
            outbox,
            outgoing: limits.outgoing.unwrap_or(usize::MAX),
            sending: Mutex::new(()),
        }
    }

    /// Has a request sent as soon as there is a place for it. Does not wait. The answer comes to the [`Slot`]; dropping that
    /// gives up the answer, but the server may still carry the request out.
    pub(crate) fn request(&self, request: OutgoingRequest) -> Result<Slot, NoAnswer> {
        let requests = &self.router.requests;
        let id = requests.new_id();
        if self.outgoing < usize::MAX {
            let mut frame = Vec::new();
            push_head(&mut frame, id, &request.method);
            let (len, max) = (frame.len() + request.params.len() + 1, self.outgoing);
            if len > max {
                return Err(NoAnswer::TooLarge { len, max });
            }
        }
        let slot = requests.add(id, request).map_err(NoAnswer::Closed)?;
        self.send_ready(Write::Soon);
        Ok(slot)
    }

    /// Waits for an answer, at most for this time. Cancel safe.
    pub(crate) async fn answer(
        &self,
        slot: &mut Slot,
        within: Option<Duration>,
    ) -> Result<Outcome, NoAnswer> {
        let Some(within) = within else {
            return slot.answer().await;
        };
        match timeout(within, slot.answer()).await {
            Ok(answer) => answer,
            Err(_) if slot.give_up() => Err(NoAnswer::Timeout),
            Err(_) if self.taps.is_full() => Err(NoAnswer::NotSent(NO_ROOM)),
            Err(_) => Err(NoAnswer::NotSent(NO_PLACE)),
        }
    }

    /// Sends the requests that wait, as far as there are places for them and taps have room. Does not wait.
    pub(crate) fn send_ready(&self, write: Write) {
        let requests = &self.router.requests;
        while requests.is_ready() {
            if self.taps.is_full() {
                return requests.notify_stuck();
            }
            // NB. Order is load-bearing: two who take requests out at once could queue them the other way round.
            let _sending = match self.sending.try_lock() {
                Ok(sending) => sending,
                Err(TryLockError::Poisoned(sending)) => sending.into_inner(),
                // Whoever has it looks again once it is free.
                Err(TryLockError::WouldBlock) => return,
            };
            self.queue_ready(write);
        }
    }

    /// Queues the requests that can be sent now, and has them written.
    fn queue_ready(&self, write: Write) {
        let (mut alone, mut any) = (false, false);
        let mut frame = Vec::new();
        while !self.taps.is_full() {
            let Some(ready) = self.router.requests.next() else {
                break;
            };
            frame.clear();
            push_head(&mut frame, ready.id, &ready.method);
            frame.extend_from_slice(ready.params.as_bytes());
            frame.extend_from_slice(b"}\n");
            self.outbox.queue(outbox::Lane::Request, &frame);
            (alone, any) = (ready.alone, true);
        }
        if any && (alone || write == Write::Now) {
            self.outbox.flush();
        } else if any {
            self.outbox.wake_writer();
        }
    }

    /// Sends the requests that wait for a tap, or for a place that nobody gives back, until it is dropped.
    pub(crate) async fn send_stuck(&self) {
        loop {
            self.taps.room().await;
            let idle = self.router.requests.reclaim();
            self.send_ready(Write::Now);
            let stuck = self.router.requests.stuck();
            match idle {
                None => stuck.await,
                Some(idle) => drop(timeout(idle, stuck).await),
            }
        }
    }

    /// Sends a notification.
    pub(crate) fn notify(&self, method: &str, params: Option<&str>) {
        let mut frame = br#"{"method":"#.to_vec();
        push_json(&mut frame, method);
        if let Some(params) = params {
            frame.extend_from_slice(br#","params":"#);
            frame.extend_from_slice(params.as_bytes());
        }
        frame.extend_from_slice(b"}\n");
        self.outbox.send(outbox::Lane::Request, &frame);
    }

    /// Sends a request whose answer only a hook waits for, as soon as there is a place for it. Does not wait.
    pub(crate) fn send_hooked(&self, method: &'static str, params: &str, on_reply: OnReply) {
        let requests = &self.router.requests;
        let request = OutgoingRequest {
            method: method.into(),
            params: params.into(),
            lane: Lane::Urgent,
            on_reply: Some(on_reply),
        };
        requests.add_hooked(requests.new_id(), request);
        self.send_ready(Write::Now);
    }

    /// Answers a request of the server. `body` is the JSON text of the member `key`.
    pub(crate) fn reply(&self, id: &str, key: &'static str, body: &str) {
        let mut frame = format!("{{\"id\":{id},\"{key}\":{body}}}\n");
        let (len, max) = (frame.len() - 1, self.outgoing);
        if len > max {
            // Sent, it would cost the connection; not sent, the server would wait for ever.
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
    }
}

/// Appends the frame of a request up to its params.
fn push_head(frame: &mut Vec<u8>, id: u64, method: &str) {
    frame.extend_from_slice(br#"{"id":"#);
    push_json(frame, &id);
    frame.extend_from_slice(br#","method":"#);
    push_json(frame, method); // A caller of `call` may write anything.
    frame.extend_from_slice(br#","params":"#);
}

/// Appends a number or a string, which cannot fail.
fn push_json(frame: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    drop(serde_json::to_writer(frame, value));
}

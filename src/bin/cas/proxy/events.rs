//! The events: one JSON object a line, written straight into the queue.
//!
//! Nothing is built up to be serialised afterwards: the members are appended as text, and what came
//! from elsewhere (`msg`, ids, routing keys) is copied as it stands.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{queue::OutQueue, scan::Message};

/// Makes events and holds those that wait to be written.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) queue: OutQueue,
    seq: u64,
    /// `,"ts":…,"sessionId":"…","pid":…`, renewed when the clock moves on.
    stamp: String,
    now_ms: u64,
    session_id: String,
}

impl Events {
    pub(super) fn new(max_events: usize) -> Self {
        let mut events = Self {
            queue: OutQueue::new(max_events),
            seq: 0,
            stamp: String::new(),
            now_ms: 0,
            session_id: format!("cas-{}", uuid::Uuid::new_v4()),
        };
        events.tick();
        events
    }

    /// Sets the time of the next events: when the line that they report was read.
    pub(super) fn tick(&mut self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        if now_ms != self.now_ms {
            self.now_ms = now_ms;
            self.stamp = format!(
                r#","ts":{now_ms},"sessionId":"{}","pid":{}"#,
                self.session_id,
                std::process::id()
            );
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Writes an event of the type `cas/…`.
    pub(super) fn emit(&mut self, name: &str, members: impl FnOnce(&mut Members<'_>)) {
        self.seq += 1;
        tracing::debug!(target: "cas::proxy", event = name, seq = self.seq);
        let line = self.queue.back();
        line.extend_from_slice(br#"{"type":"cas/"#);
        line.extend_from_slice(name.as_bytes());
        line.extend_from_slice(br#"","v":1,"seq":"#);
        line.extend_from_slice(itoa::Buffer::new().format(self.seq).as_bytes());
        line.extend_from_slice(self.stamp.as_bytes());
        members(&mut Members(line));
        line.extend_from_slice(b"}\n");
        self.queue.pushed();
    }
}

/// The members of an event.
#[derive(Debug)]
pub(super) struct Members<'a>(&'a mut Vec<u8>);

impl Members<'_> {
    /// A member whose value is JSON text; `null` if there is none.
    #[inline]
    pub(super) fn raw(&mut self, key: &str, json: Option<&str>) -> &mut Self {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(json.unwrap_or("null").as_bytes());
        self
    }

    /// A member whose value is one of our own words, which need no escapes.
    #[inline]
    pub(super) fn word(&mut self, key: &str, word: &str) -> &mut Self {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":\"");
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b'"');
        self
    }

    /// A member of any value.
    pub(super) fn value(&mut self, key: &str, value: impl Serialize) -> &mut Self {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        serde_json::to_writer(&mut *self.0, &value).expect("plain data always serialises");
        self
    }

    /// The routing keys.
    #[inline]
    pub(super) fn keys(&mut self, keys: &Keys<'_>) -> &mut Self {
        self.raw("threadId", keys.thread)
            .raw("turnId", keys.turn)
            .raw("itemId", keys.item)
    }
}

/// The routing keys as JSON strings.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keys<'a> {
    pub(super) thread: Option<&'a str>,
    pub(super) turn: Option<&'a str>,
    pub(super) item: Option<&'a str>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(message: &Message<'a>) -> Self {
        Self {
            thread: message.thread(),
            turn: message.turn(),
            item: message.item(),
        }
    }

    /// These keys, and for missing ones those of the request.
    pub(super) fn or(self, request: Keys<'a>) -> Self {
        Self {
            thread: self.thread.or(request.thread),
            turn: self.turn.or(request.turn),
            item: self.item.or(request.item),
        }
    }
}

/// The routing keys of a request, kept until it is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnedKeys {
    pub(super) thread: Option<Box<str>>,
    pub(super) turn: Option<Box<str>>,
    pub(super) item: Option<Box<str>>,
}

impl OwnedKeys {
    pub(super) fn borrow(&self) -> Keys<'_> {
        Keys {
            thread: self.thread.as_deref(),
            turn: self.turn.as_deref(),
            item: self.item.as_deref(),
        }
    }
}

impl From<Keys<'_>> for OwnedKeys {
    fn from(keys: Keys<'_>) -> Self {
        Self {
            thread: keys.thread.map(Into::into),
            turn: keys.turn.map(Into::into),
            item: keys.item.map(Into::into),
        }
    }
}

//! `Event`: one line that the server sent on its own.

use std::{fmt, time::Instant};

use crate::protocol::routing::RoutingKeys as _;
use crate::{
    error::Error,
    protocol::{Notification, ServerNotification},
    rpc::{Incoming, MessageKind, Parts, Value},
};

/// One line from the server: its text, and the thread, turn and item it belongs to. Cheap to clone;
/// all subscribers share it.
///
/// Short lines that were read together are stored together, up to 32 lines and 8 KiB. Holding one
/// event holds all of them in memory, with what was decoded from them. To keep many events for
/// long, keep their [`line`](Self::line).
#[derive(Clone)]
pub struct Event(pub(super) Incoming);

impl Event {
    /// The number of the line on this connection. Numbers rise within a stream and can be compared
    /// between streams. Numbers that a stream skips belong to lines that its filter left out.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.0.seq()
    }

    /// When the line was read.
    #[must_use]
    pub fn received_at(&self) -> Instant {
        self.0.received_at()
    }

    /// When the server sent the notification, by the server's own account, in milliseconds since
    /// the epoch.
    #[must_use]
    pub fn emitted_at_ms(&self) -> Option<u64> {
        self.0.parts().sent_at()
    }

    /// The kind of the line: notification, server request, or neither.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.0.kind()
    }

    /// The method; empty for a line without one.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.parts().method().unwrap_or_default()
    }

    /// The thread that the params name, as `threadId` or `thread.id`.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        self.0.parts().thread()
    }

    /// The turn that the params name, as `turnId` or `turn.id`.
    #[must_use]
    pub fn turn_id(&self) -> Option<&str> {
        self.0.parts().turn()
    }

    /// The item that the params name, as `itemId` or `item.id`.
    #[must_use]
    pub fn item_id(&self) -> Option<&str> {
        self.0.parts().item()
    }

    /// The `item.type` of the params, such as `commandExecution`.
    #[must_use]
    pub fn item_type(&self) -> Option<&str> {
        self.0.parts().item_type()
    }

    /// The line exactly as the server wrote it, without its newline; bytes that are not UTF-8 are
    /// replaced.
    #[must_use]
    pub fn line(&self) -> &str {
        self.0.raw()
    }

    /// The JSON text of the params; `null` if there are none.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.parts().params().unwrap_or("null")
    }

    /// Decodes the params as your own type, which may borrow from the event.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit.
    pub fn params_as<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_str(self.json())
            .map_err(|e| Error::decode_part(self.method(), self.line(), self.json(), &e))
    }

    /// Returns the typed notification. The event is decoded at most once for all holders, when the
    /// first of them calls this. An unknown method is `ServerNotification::Unknown`, not an error.
    /// A reader that would have to wait while another reader decodes the event decodes some of the
    /// next events meanwhile.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit the schema, or if the event is not a notification.
    #[inline] // So that ninety types are decoded by code of the programs that call this, not of all.
    pub fn notification(&self) -> Result<&ServerNotification, Error> {
        type Memo = Result<ServerNotification, serde_json::Error>;
        if self.kind() != MessageKind::Notification {
            return Err(Error::Decode {
                method: self.method().to_owned(),
                raw: self.line().into(),
                reason: "not a notification".to_owned(),
            });
        }
        let decode = |parts: Parts<'_>, spare: Option<Value>| -> Value {
            let (method, params) = (parts.method(), parts.params());
            let (method, params) = (method.unwrap_or_default(), params.unwrap_or("null"));
            if let Some(mut spare) = spare
                && let Some(Ok(notification)) = spare.downcast_mut::<Memo>()
                && notification.refill(method, params)
            {
                return spare;
            }
            Box::new(ServerNotification::decode(method, params))
        };
        match self.0.memo::<Memo>(decode) {
            Some(Ok(notification)) => Ok(notification),
            Some(Err(error)) => Err(Error::decode_part(
                self.method(),
                self.line(),
                self.json(),
                error,
            )),
            None => Err(Error::Invalid(
                "the event was decoded as another type".to_owned(),
            )),
        }
    }

    /// Returns the params as notification `N`; `None` if the event has another method.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit.
    #[must_use]
    pub fn get<N: Notification>(&self) -> Option<Result<N, Error>> {
        N::METHODS.contains(&self.method()).then(|| {
            N::decode(self.json())
                .map_err(|e| Error::decode_part(self.method(), self.line(), self.json(), &e))
        })
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text is not shown: it may hold secrets that should not be in a log.
        f.debug_struct("Event")
            .field("seq", &self.seq())
            .field("kind", &self.kind())
            .field("method", &self.method())
            .field("thread_id", &self.thread_id())
            .field("turn_id", &self.turn_id())
            .field("item_id", &self.item_id())
            .finish_non_exhaustive()
    }
}

//! What can go wrong, by layer: starting, the connection, the server's refusal, decoding, a turn.

pub(crate) mod class;
mod close;
mod connect;
mod join;
pub(crate) mod misfit;
mod outcome;
mod raw_text;
pub(crate) mod rounded;
mod rpc;
pub(crate) mod shortened;
mod spawn;
mod sub_agent;
mod turn;
mod usage;

use std::{fmt, sync::Arc, time::Duration};

use serde_json::value::RawValue;

pub use self::{
    close::{CloseCause, CloseReason},
    connect::{AuthRefusal, ConnectError, ConnectErrorKind},
    join::JoinRefusal,
    outcome::{Item, TurnFailure, TurnOutcome},
    raw_text::RawText,
    rpc::{RpcError, RpcErrorKind},
    spawn::SpawnError,
    sub_agent::{SubAgent, SubAgentStatus},
    turn::{TurnError, TurnErrorKind},
    usage::TokenUsage,
};
use self::{rounded::Rounded, shortened::Shortened};
use crate::protocol::{RequestId, pointer::raw_at};
pub use class::ErrorClass;

/// The error type of this crate.
///
/// `Display` gives the whole reason, including the messages of the server, the operating system and
/// the process, so [`source`](std::error::Error::source) does not repeat them.
/// [`class`](Self::class) says what the caller can do about the error.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `codex app-server` could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),

    /// A server that listens on a socket could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),

    /// The server started, but `initialize` failed. The process has been ended.
    #[error("initialize failed: {0}")]
    Handshake(Arc<Error>),

    /// The server refused the request.
    #[error("{method} was refused: {source}")]
    Rpc {
        /// The method that was called.
        method: String,
        /// The server's error object; [`RpcError::kind`] classifies it.
        r#source: RpcError,
    },

    /// No answer came in time. The server may still carry the request out. A late answer is an event of kind
    /// [`LateResponse`](crate::events::MessageKind::LateResponse).
    #[error("{method} was not answered within {}", Rounded(*.after))]
    Timeout {
        /// The method that was called, or the event that was waited for.
        method: String,
        /// The deadline that passed.
        after: Duration,
    },

    /// The deadline passed before the request could be sent. The server has not seen it, so repeating it is safe.
    #[error("{method} was not sent within {}: {reason}", Rounded(*.after))]
    NotSent {
        /// The method that was to be called.
        method: String,
        /// The deadline that passed.
        after: Duration,
        /// What the request waited for.
        reason: String,
    },

    /// The params cannot be written as JSON. Nothing was sent.
    #[error("params of {method} cannot be encoded: {reason}")]
    Encode {
        /// The method that was to be called.
        method: String,
        /// What serde says.
        reason: String,
    },

    /// What the server sent is not of the expected type. `Display` and `Debug` do not show the text, which may hold a token.
    #[error("{method} cannot be decoded: {}", Shortened(.reason))]
    Decode {
        /// The method of the response, notification or request.
        method: String,
        /// The JSON text as it came.
        raw: RawText,
        /// The place, what stands there and what was expected, such as `thread.id: integer, expected a string`. Quotes
        /// nothing of the text.
        reason: String,
    },

    /// This stream was read too slowly, and events were dropped here. The stream goes on.
    #[error(
        "{skipped} events were dropped because this stream was read too slowly: read it faster, narrow its filter or raise the builder's `event_queue`"
    )]
    Lagged {
        /// How many events were dropped.
        skipped: u64,
    },

    /// The connection has ended. A request that fails with this error was not sent.
    #[error("the connection to codex app-server has ended: {0}")]
    Closed(Arc<CloseReason>),

    /// The request was sent, and the connection ended before the answer came. The server may have
    /// carried the request out, and the crate never sends it again: check before you repeat it.
    /// [`Thread::find_message`](crate::Thread::find_message) finds a message that was to start or
    /// steer a turn. [`Thread::deliver`](crate::Thread::deliver) also fails with this error if the
    /// answer is late or can't be read.
    #[error("{method} was sent{}, but its answer was lost: {reason}", with_message(id.as_deref()))]
    Indeterminate {
        /// The method that was called.
        method: String,
        /// The `clientUserMessageId` in the params, by which the message can be found. `None` for
        /// a request without one.
        id: Option<String>,
        /// How the answer was lost.
        reason: Arc<Error>,
    },

    /// A turn failed, was interrupted or was cut off. The error holds what it had produced.
    #[error(transparent)]
    Turn(#[from] Box<TurnError>),

    /// This connection does not follow the thread, so it would get no events of the turn. Nothing
    /// was sent.
    #[error(
        "thread {thread_id} is not followed by this connection, which would not see its turns: resume it with `resume_thread`"
    )]
    NotFollowed {
        /// The thread.
        thread_id: String,
    },

    /// An [`Observer`](crate::client::Role::Observer) leaves this to the clients that take part in
    /// the thread. Nothing was sent.
    #[error(
        "this client only observes the threads that others have started, so {method} was not sent: connect with `role(Role::Driver)` to take part in them"
    )]
    Observer {
        /// The method of the request, or of the server's request that was not answered.
        method: String,
        /// The thread.
        thread_id: Option<String>,
    },

    /// The thread exists, but can't be joined.
    #[error("thread {thread_id} {reason}")]
    NotJoinable {
        /// The thread.
        thread_id: String,
        /// Why it can't.
        reason: JoinRefusal,
    },

    /// The server's request does not wait for an answer any more. Nothing was sent.
    #[error("{method} no longer waits for an answer: {reason}")]
    NotPending {
        /// The method of the server's request.
        method: String,
        /// The id of the server's request.
        id: RequestId,
        /// Why it does not.
        reason: String,
    },

    /// The call itself is wrong. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

/// The id of a message, for the text of an error.
fn with_message(id: Option<&str>) -> String {
    id.map_or_else(String::new, |id| format!(" as message {id}"))
}

impl Error {
    /// The server's error object, if the server refused the request.
    #[must_use]
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc { source, .. } => Some(source),
            Self::Handshake(inner) => inner.rpc(),
            _ => None,
        }
    }

    /// The kind of the refusal, if the server refused the request.
    #[must_use]
    pub fn rpc_kind(&self) -> Option<RpcErrorKind> {
        self.rpc().map(RpcError::kind)
    }

    /// How the connection ended, if its end is what failed the call: [`Closed`](Self::Closed),
    /// [`Indeterminate`](Self::Indeterminate), or a turn that was cut off.
    #[must_use]
    pub fn close_reason(&self) -> Option<&Arc<CloseReason>> {
        match self {
            Self::Closed(reason) => Some(reason),
            Self::Indeterminate { reason, .. } => reason.close_reason(),
            Self::Handshake(inner) => inner.close_reason(),
            Self::Turn(turn) => match &turn.kind {
                TurnErrorKind::Closed(reason) => Some(reason),
                _ => None,
            },
            _ => None,
        }
    }

    /// Replaces the deadline by the one that the user has set, of which only a part was left.
    pub(crate) fn within(mut self, told: Duration) -> Self {
        if let Self::Timeout { after, .. } | Self::NotSent { after, .. } = &mut self {
            *after = told;
        }
        self
    }

    pub(crate) fn timeout(method: &str, after: Duration) -> Self {
        Self::Timeout {
            method: method.to_owned(),
            after,
        }
    }

    pub(crate) fn encode(method: &str, error: &serde_json::Error) -> Self {
        Self::Encode {
            method: method.to_owned(),
            reason: error.to_string(),
        }
    }

    /// `raw` is the text that was read.
    pub(crate) fn decode(method: &str, raw: &str, error: &serde_json::Error) -> Self {
        Self::decode_part(method, raw, raw, error)
    }

    /// `part` is the part of `raw` that was read.
    pub(crate) fn decode_part(
        method: &str,
        raw: &str,
        part: &str,
        error: &serde_json::Error,
    ) -> Self {
        Self::Decode {
            method: method.to_owned(),
            raw: raw.into(),
            reason: misfit::describe(part, error),
        }
    }

    /// The value at `path` is the part of `raw` that was read.
    pub(crate) fn decode_at(
        method: &str,
        raw: &str,
        path: &'static [&'static str],
        error: &serde_json::Error,
    ) -> Self {
        Self::decode_part(
            method,
            raw,
            raw_at(raw, path).map_or(raw, RawValue::get),
            error,
        )
    }
}

/// As derived, except that long texts are shortened.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        macro_rules! show {
            ($name:literal, $($field:ident),*) => {
                f.debug_struct($name)
                    $(.field(stringify!($field), $field))*
                    .finish()
            };
        }
        match self {
            Self::Spawn(error) => f.debug_tuple("Spawn").field(error).finish(),
            Self::Connect(error) => f.debug_tuple("Connect").field(error).finish(),
            Self::Handshake(error) => f.debug_tuple("Handshake").field(error).finish(),
            Self::Rpc { method, source } => show!("Rpc", method, source),
            Self::Timeout { method, after } => show!("Timeout", method, after),
            Self::NotSent {
                method,
                after,
                reason,
            } => show!("NotSent", method, after, reason),
            Self::Encode { method, reason } => {
                let reason = &Shortened(reason);
                show!("Encode", method, reason)
            }
            Self::Decode {
                method,
                raw,
                reason,
            } => {
                let reason = &Shortened(reason);
                show!("Decode", method, raw, reason)
            }
            Self::Lagged { skipped } => show!("Lagged", skipped),
            Self::Closed(reason) => f.debug_tuple("Closed").field(reason).finish(),
            Self::Indeterminate { method, id, reason } => {
                show!("Indeterminate", method, id, reason)
            }
            Self::Turn(error) => f.debug_tuple("Turn").field(error).finish(),
            Self::NotFollowed { thread_id } => show!("NotFollowed", thread_id),
            Self::Observer { method, thread_id } => show!("Observer", method, thread_id),
            Self::NotJoinable { thread_id, reason } => show!("NotJoinable", thread_id, reason),
            Self::NotPending { method, id, reason } => show!("NotPending", method, id, reason),
            Self::Invalid(text) => f.debug_tuple("Invalid").field(&Shortened(text)).finish(),
        }
    }
}

impl From<TurnError> for Error {
    fn from(error: TurnError) -> Self {
        Self::Turn(Box::new(error))
    }
}

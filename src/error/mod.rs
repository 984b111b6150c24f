//! What can go wrong, by layer: starting, the connection, the server's refusal, decoding, a turn.

pub(crate) mod class;
pub(crate) mod misfit;
pub(crate) mod rpc;
pub(crate) mod shortened;

use std::{fmt, path::PathBuf, process::ExitStatus, sync::Arc, time::Duration};

use serde_json::value::RawValue;

pub use crate::error::rpc::{RpcError, RpcErrorKind};
use crate::{
    client::time::Rounded,
    error::shortened::Shortened,
    json::pointer::{raw_at, readable},
    transport::ConnectError,
    turn::TurnError,
};

/// The error of everything in this crate.
///
/// Its `Display` has the whole reason, down to the words of the server, of the operating system and of the process; so
/// [`source`](std::error::Error::source) does not repeat it. [`class`](Self::class) says what to do about it.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `codex app-server` could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),

    /// No connection to a server that listens on a socket.
    #[error(transparent)]
    Connect(#[from] ConnectError),

    /// The server was started but `initialize` did not succeed. The process has been ended.
    #[error("initialize failed: {0}")]
    Handshake(Arc<Error>),

    /// The server refused the request.
    #[error("{method} was refused: {source}")]
    Rpc {
        /// The method that was called.
        method: String,
        /// What the server said; [`RpcError::kind`] classifies it.
        r#source: RpcError,
    },

    /// No answer came in time. The server may still carry the request out; if it does, its answer is an event of kind
    /// [`LateResponse`](crate::Kind::LateResponse).
    #[error("{method} was not answered within {}", Rounded(*.after))]
    Timeout {
        /// The method that was called, or what was waited for.
        method: String,
        /// The deadline that passed.
        after: Duration,
    },

    /// The deadline passed before the request could be sent. The server has not heard of it, so it may be made again.
    #[error("{method} was not sent within {}: {reason}", Rounded(*.after))]
    NotSent {
        /// The method that was to be called.
        method: String,
        /// The deadline that passed.
        after: Duration,
        /// What it waited for.
        reason: String,
    },

    /// The params could not be written as JSON; nothing was sent.
    #[error("params of {method} cannot be encoded: {reason}")]
    Encode {
        /// The method that was to be called.
        method: String,
        /// What is wrong.
        reason: String,
    },

    /// What the server sent is not of the expected type. The text is kept, and not shown: it may hold a token.
    #[error("{method} cannot be decoded: {}", Shortened(.reason))]
    Decode {
        /// The method whose response, notification or request it was.
        method: String,
        /// The JSON text as it came.
        raw: RawText,
        /// Where it does not fit, what stands there and what was expected, such as
        /// `thread.id: integer, expected a string`. Quotes nothing of the text.
        reason: String,
    },

    /// The reader of this stream was too slow: so many events were dropped at this place. The stream goes on.
    #[error("{skipped} events were dropped because their reader was too slow")]
    Lagged {
        /// How many.
        skipped: u64,
    },

    /// The connection has ended.
    #[error("the connection to codex app-server has ended: {0}")]
    Closed(Arc<CloseReason>),

    /// A turn ended other than well; what it had produced is in the error.
    #[error(transparent)]
    Turn(#[from] Box<TurnError>),

    /// The turn would run where this connection can't see it; nothing was sent.
    #[error(
        "thread {thread_id} is not followed by this connection, so its turns could not be seen: resume it with `resume_thread`"
    )]
    NotFollowed {
        /// The thread.
        thread_id: String,
    },

    /// The request can't be made as it stands; nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// The server's refusal, if that is what this is.
    #[must_use]
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc { source, .. } => Some(source),
            Self::Handshake(inner) => inner.rpc(),
            _ => None,
        }
    }

    /// The class of the server's refusal, if that is what this is.
    #[must_use]
    pub fn rpc_kind(&self) -> Option<RpcErrorKind> {
        self.rpc().map(RpcError::kind)
    }

    /// The same, with the deadline that the user knows of in the place of what was left of it.
    pub(crate) fn within(mut self, told: Duration) -> Self {
        if let Self::Timeout { after, .. } | Self::NotSent { after, .. } = &mut self {
            *after = told;
        }
        self
    }

    pub(crate) fn encode(method: &str, error: &serde_json::Error) -> Self {
        Self::Encode {
            method: method.to_owned(),
            reason: error.to_string(),
        }
    }

    /// `raw` is what was read.
    pub(crate) fn decode(method: &str, raw: &str, error: &serde_json::Error) -> Self {
        Self::decode_part(method, raw, raw, error)
    }

    /// `part`, a part of `raw`, is what was read.
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

    /// What stands in `raw` at a path is what was read.
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

/// A JSON text as it came. Its `Debug` does not show it: it may hold a token, or be very long.
#[derive(Clone, PartialEq, Eq)]
pub struct RawText(Arc<str>);

impl RawText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for RawText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RawText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for RawText {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawText({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => f.debug_tuple("Spawn").field(error).finish(),
            Self::Connect(error) => f.debug_tuple("Connect").field(error).finish(),
            Self::Handshake(error) => f.debug_tuple("Handshake").field(error).finish(),
            Self::Rpc { method, source } => f
                .debug_struct("Rpc")
                .field("method", method)
                .field("source", source)
                .finish(),
            Self::Timeout { method, after } => f
                .debug_struct("Timeout")
                .field("method", method)
                .field("after", after)
                .finish(),
            Self::NotSent {
                method,
                after,
                reason,
            } => f
                .debug_struct("NotSent")
                .field("method", method)
                .field("after", after)
                .field("reason", reason)
                .finish(),
            Self::Encode { method, reason } => f
                .debug_struct("Encode")
                .field("method", method)
                .field("reason", &Shortened(reason))
                .finish(),
            Self::Decode {
                method,
                raw,
                reason,
            } => f
                .debug_struct("Decode")
                .field("method", method)
                .field("raw", raw)
                .field("reason", &Shortened(reason))
                .finish(),
            Self::Lagged { skipped } => f.debug_struct("Lagged").field("skipped", skipped).finish(),
            Self::Closed(reason) => f.debug_tuple("Closed").field(reason).finish(),
            Self::Turn(error) => f.debug_tuple("Turn").field(error).finish(),
            Self::NotFollowed { thread_id } => f
                .debug_struct("NotFollowed")
                .field("thread_id", thread_id)
                .finish(),
            Self::Invalid(text) => f.debug_tuple("Invalid").field(&Shortened(text)).finish(),
        }
    }
}

/// Why `codex app-server` could not be started.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No codex executable was found.
    #[error(
        "codex was not found: {}; install it with `npm install -g @openai/codex`, or name it with the builder's `codex` or $CAS_CODEX",
        .looked.join("; ")
    )]
    NotFound {
        /// The places that were looked at, and what was there. A place that was named is the only one.
        looked: Vec<String>,
    },
    /// It is npm's script, and there is no Node to run it.
    #[error(
        "{} is npm's script, which needs Node, and there is no `node` on its $PATH; npm's package has no binary for this machine that could be started in its place: {}; put Node on the $PATH, or name the binary with the builder's `codex` or $CAS_CODEX",
        .script.display(), .looked.join("; ")
    )]
    NodeMissing {
        /// The script.
        script: PathBuf,
        /// The places where the binary may be, and what was there.
        looked: Vec<String>,
    },
    /// The operating system refused to start it.
    #[error("{} could not be started: {source}", .program.display())]
    Io {
        /// The executable.
        program: PathBuf,
        /// What the operating system said.
        r#source: Arc<std::io::Error>,
    },
    /// The directory of the [`registry`](crate::Builder::registry) can't be used; nothing is left running.
    #[error("the registry {} cannot be used: {source}", .dir.display())]
    Registry {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        r#source: Arc<std::io::Error>,
    },
    /// It started and ended before the handshake was done.
    #[error("{} ended before the handshake: {reason}", .program.display())]
    Exited {
        /// The executable.
        program: PathBuf,
        /// Its exit status and the end of its stderr.
        reason: Arc<CloseReason>,
    },
}

/// How a connection came to its end.
#[derive(Clone)]
#[non_exhaustive]
pub struct CloseReason {
    /// What ended it.
    pub cause: CloseCause,
    /// The exit status of the process; `None` if it has not been seen to end, or is not ours.
    pub status: Option<ExitStatus>,
    /// The last lines that the process wrote to stderr, at most 64 KiB, without colour codes. `Debug` shows no more than
    /// 2,000 bytes of it.
    pub stderr_tail: String,
}

/// What ended a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// `shutdown` was called, or the last client dropped.
    Shutdown,
    /// The process ended by itself.
    Exited,
    /// The server closed its output.
    Eof,
    /// Reading failed.
    Read(String),
    /// Writing failed.
    Write(String),
    /// The runtime on which the client was started has ended, and the server with it. A client can be used from another
    /// runtime, but lives no longer than its own.
    RuntimeEnded,
}

impl CloseReason {
    pub(crate) fn new(cause: CloseCause) -> Self {
        Self {
            cause,
            status: None,
            stderr_tail: String::new(),
        }
    }

    pub(crate) fn shutdown() -> Self {
        Self::new(CloseCause::Shutdown)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            CloseCause::Shutdown => f.write_str("it was shut down")?,
            CloseCause::Exited => f.write_str("the process ended")?,
            CloseCause::Eof => f.write_str("the server closed its output")?,
            CloseCause::Read(e) => write!(f, "reading failed: {e}")?,
            CloseCause::Write(e) => write!(f, "writing failed: {e}")?,
            CloseCause::RuntimeEnded => {
                f.write_str("the runtime on which the client was started has ended")?;
            }
        }
        if let Some(status) = self.status {
            write!(f, " ({status})")?;
        }
        let tail = self.stderr_tail.trim_end();
        if !tail.is_empty() {
            let lines: Vec<_> = tail.lines().collect();
            let shown = &lines[lines.len().saturating_sub(5)..];
            write!(f, "; stderr: {}", Shortened(&shown.join(" | ")))?;
        }
        Ok(())
    }
}

impl fmt::Debug for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseReason")
            .field("cause", &self.cause)
            .field("status", &self.status)
            .field("stderr_tail", &Shortened(&self.stderr_tail))
            .finish()
    }
}

impl std::error::Error for CloseReason {}

/// Decodes the server's error object, and keeps what can't be decoded as the message.
pub(crate) fn rpc_error(raw: &str) -> RpcError {
    readable! {
        struct Wire {
            maybe { code: i64 = "code", message: String = "message", data: Option<Box<RawValue>> = "data", }
        }
    }
    match serde_json::from_str::<Wire>(raw) {
        Ok(w) => RpcError::new(
            w.code,
            w.message,
            w.data
                .as_deref()
                .and_then(|d| serde_json::from_str(d.get()).ok()),
        ),
        _ => RpcError::new(0, raw.to_owned(), None),
    }
}

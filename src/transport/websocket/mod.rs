//! A WebSocket as two streams of JSON lines: each message is a line, each line a message.
//!
//! The frames are parsed in place and not by a WebSocket library's message API. Such an API buffers
//! a whole message, and ends the connection on a message that is too long. Here one limit covers
//! the length of a message and the length of a line.

mod read;
mod shared;
mod write;

pub(crate) use read::Reader;
pub(crate) use write::Writer;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use self::shared::Shared;

/// One end of the connection. A client masks its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    /// A server; only tests use it.
    #[cfg(feature = "testing")]
    Server,
}

/// Both directions of a connection after the upgrade. `early` holds the bytes that came with the
/// response to the upgrade.
pub(crate) fn pair(
    side: Side,
    read: impl AsyncRead + Send + Unpin + 'static,
    write: impl AsyncWrite + Send + Unpin + 'static,
    early: BytesMut,
    ping_every: Duration,
) -> (Reader, Writer) {
    let shared = Arc::new(Shared::default());
    let reader = Reader::new(side, Box::new(read), early, shared.clone(), ping_every);
    (reader, Writer::new(side, Box::new(write), shared))
}

#[cfg(test)]
mod tests;

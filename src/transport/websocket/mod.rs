//! A WebSocket as two streams of JSON lines: each message is a line, each line a message.
//!
//! The frames are parsed in place and not by a WebSocket library's message API, which buffers a whole message and ends the
//! connection on one that is too long. Here the length of a message is limited where the length of a line is.

mod read;
mod shared;
mod write;

pub(crate) use read::Reader;
pub(crate) use write::Writer;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use self::shared::Shared;

/// Which end of the connection this is. A client masks its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    /// For the servers of tests.
    #[cfg(feature = "testing")]
    Server,
}

/// Both directions of a connection after the upgrade. `early` has come with the answer to the upgrade.
pub(crate) fn pair(
    role: Role,
    read: impl AsyncRead + Send + Unpin + 'static,
    write: impl AsyncWrite + Send + Unpin + 'static,
    early: BytesMut,
    ping_every: Duration,
) -> (Reader, Writer) {
    let shared = Arc::new(Shared::default());
    let reader = Reader::new(role, Box::new(read), early, shared.clone(), ping_every);
    (reader, Writer::new(role, Box::new(write), shared))
}

#[cfg(test)]
mod tests;

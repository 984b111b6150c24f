//! The wire: every line of both directions, numbered and lossless, for recording and for programs
//! that decode everything.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::rpc::tap::{Tap, Tapped};

/// One line that went over the wire.
#[derive(Clone)]
pub struct WireLine(Tapped);

/// The direction of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From this client to the server.
    ToServer,
    /// From the server to this client.
    FromServer,
}

impl WireLine {
    /// The number of the line, counted over both directions. From the first line of this stream on
    /// the numbers have no gaps, with one exception: a line longer than the builder's
    /// [`max_line`](crate::Builder::max_line) has a number but is not in the stream.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The direction of the line.
    #[must_use]
    pub fn direction(&self) -> Direction {
        if self.0.to_server {
            Direction::ToServer
        } else {
            Direction::FromServer
        }
    }

    /// The line exactly as it was sent, without its newline; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.0.line
    }
}

impl fmt::Debug for WireLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text is not shown: it may hold a token.
        f.debug_struct("WireLine")
            .field("number", &self.number())
            .field("direction", &self.direction())
            .finish_non_exhaustive()
    }
}

/// A lossless stream of all lines; see [`CasClient::wire`](crate::CasClient::wire). It ends with
/// the connection.
#[must_use = "while it is not read, the client reads nothing from the server and sends it no request"]
pub struct Wire(pub(super) Tap);

/// How many lines the stream may hold before reading from the server pauses.
pub(super) const BOUND: usize = 4_096;

impl Wire {
    /// Returns the next line, or `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<WireLine> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<WireLine>> {
        self.0.poll(cx).map(|line| line.map(WireLine))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The queued lines are not shown: one may be a login.
        f.debug_struct("Wire")
            .field("waiting", &self.0.waiting())
            .finish_non_exhaustive()
    }
}

impl Stream for Wire {
    type Item = WireLine;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

//! The limits of a client: deadlines, requests in flight, lengths of lines and queues.

use std::{path::PathBuf, time::Duration};

use crate::{
    client::{builder::Builder, retry::Retry},
    rpc::queue::Bounds,
};

impl Builder {
    /// The deadline of a request that sets none. Default: 60 s.
    pub fn request_timeout(mut self, after: Duration) -> Self {
        self.request_timeout = after;
        self
    }

    /// The deadline of an [urgent](crate::Request::urgent) request that sets none: of steering and interrupting, and of
    /// asking how a silent turn stands. Default: 5 s, or the [`request_timeout`](Self::request_timeout) if that is shorter.
    pub fn urgent_timeout(mut self, after: Duration) -> Self {
        self.urgent_timeout = Some(after);
        self
    }

    /// How long the server may take until it has answered `initialize`. Default: 10 s.
    pub fn handshake_timeout(mut self, after: Duration) -> Self {
        self.handshake_timeout = after;
        self
    }

    /// How long each step of stopping the server may take: the end of its input, SIGTERM, SIGKILL. Default: 2 s.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Keeps a record of the running server in this directory, one file each, and first ends the servers that other
    /// hosts have left there which were killed and could not: for a program that is started again after a crash. It is
    /// made if it is not there, with mode 0700, and may be shared by any number of programs of one user. A link, or a
    /// directory that another user owns or may write to, is refused, since what stands there ends processes. Default:
    /// none. On Linux and macOS. Windows itself ends everything that a killed host has started, so nothing is written
    /// there.
    ///
    /// A killed host rarely leaves anything, since a server ends at the end of its input; this is for one that hangs, and
    /// for what it has started. The record names the processes by number and start time, and one that does not have both
    /// is not touched. Files that are not such records are left alone.
    pub fn registry(mut self, dir: impl Into<PathBuf>) -> Self {
        self.registry = Some(dir.into());
        self
    }

    /// Requests in flight at once; the others wait. Default: 64. Beside them there are 16 places for urgent requests and 64
    /// for [long](crate::Request::no_timeout) ones. The server drops requests without an answer above about 160.
    ///
    /// What counts is what the server holds: a request that is dropped or times out keeps its place until it is answered,
    /// or for some seconds if the server answers later ones.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.limits.in_flight = requests;
        self
    }

    /// The longest line that is read, in bytes; a longer one is skipped and reported as a malformed event.
    /// Default: 128 MiB.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.limits.line = bytes.min(u32::MAX as usize - 1);
        self
    }

    /// The size of each of the two rings of an event stream. Default: 8,192 events and 8 MiB.
    pub fn event_queue(mut self, events: usize, bytes: usize) -> Self {
        self.bounds = Bounds { events, bytes };
        self
    }

    /// Makes a start again that was too slow, or that lost its home to another start: where the failure
    /// [is retryable](crate::Error::is_retryable), and nothing of it is left running. Default: that is an error.
    ///
    /// Many servers that are started at once in one home need it: codex gives up after 5 s where another one holds its
    /// databases or is migrating them.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::{CasClient, Retry};
    /// let client = CasClient::builder().retry_start(Retry::times(3)).spawn().await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    pub fn retry_start(mut self, policy: Retry) -> Self {
        self.retry_start = Some(policy);
        self
    }
}

//! The limits of a client: deadlines, requests in flight, lengths of lines and queues.

use std::{path::PathBuf, time::Duration};

use crate::{
    client::{builder::Builder, retry::Retry},
    rpc::queue::Bounds,
};

impl Builder {
    /// Sets the deadline of a request that sets none. Default: 60 s.
    pub fn request_timeout(mut self, after: Duration) -> Self {
        self.request_timeout = after;
        self
    }

    /// Sets the deadline of an [urgent](crate::Request::urgent) request that sets none: steering,
    /// interrupting, and asking for the state of a silent turn. Default: 5 s, or the
    /// [`request_timeout`](Self::request_timeout) if that is shorter.
    pub fn urgent_timeout(mut self, after: Duration) -> Self {
        self.urgent_timeout = Some(after);
        self
    }

    /// Sets how long the server may take to answer `initialize`. Default: 10 s.
    pub fn handshake_timeout(mut self, after: Duration) -> Self {
        self.handshake_timeout = after;
        self
    }

    /// Sets how long each step of stopping the server may take: the end of its input, SIGTERM,
    /// SIGKILL. Default: 2 s.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Keeps a record of the running server in this directory, one file per server. Before it
    /// starts a server, it ends the servers that killed programs have left running, by their
    /// records. Set this for a program that is restarted after a crash. Default: none.
    ///
    /// The directory is created with mode 0700 if it does not exist. Any number of programs of one
    /// user may share it. A link, or a directory that another user owns or may write to, is
    /// refused, because the records decide which processes are ended. Works on Linux and macOS.
    /// Windows itself ends everything that a killed program has started, so nothing is written
    /// there.
    ///
    /// A killed program rarely leaves anything running, because a server exits at the end of its
    /// input. The record is for a server that hangs, and for the processes that the server has
    /// started. It names them by process number and start time; a process that does not match both
    /// is not touched. Other files in the directory are left alone.
    pub fn registry(mut self, dir: impl Into<PathBuf>) -> Self {
        self.registry = Some(dir.into());
        self
    }

    /// Sets how many requests may be in flight at once; further requests wait. Default: 64. In
    /// addition there are 16 places for urgent requests and 64 for
    /// [long](crate::Request::no_timeout) ones. The server drops requests without an answer above
    /// about 160.
    ///
    /// A request counts for as long as the server holds it: a request that is dropped or times out
    /// keeps its place until the server answers it, or for some seconds if the server answers later
    /// requests.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.limits.in_flight = requests;
        self
    }

    /// Sets the maximum length of a line, in bytes. A longer line is skipped and reported as a
    /// malformed event. Default: 128 MiB.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.limits.line = bytes.min(u32::MAX as usize - 1);
        self
    }

    /// Sets the size of each of the two rings of an event stream. Default: 8,192 events and 8 MiB.
    pub fn event_queue(mut self, events: usize, bytes: usize) -> Self {
        self.bounds = Bounds { events, bytes };
        self
    }

    /// Retries a start that was too slow, or that failed because another codex was using the
    /// databases of the same home. The error must be [retryable](crate::Error::is_retryable), and
    /// no process of the failed start may still be running. Default: no retries.
    ///
    /// Set this when many servers start at once in one home: codex gives up after 5 s if another
    /// codex holds its databases or is migrating them.
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

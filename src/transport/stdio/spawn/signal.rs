//! The signals that end a child, on every platform.

/// A request to end. Windows has only [`Kill`](Self::Kill).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as by Ctrl-C.
    Interrupt,
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGTERM: the child may clean up first.
    Terminate,
    /// SIGKILL, or the end of the job: the child has no say.
    Kill,
}

//! What a running instance learns from outside: signals, and the loss of its reader.

use cas_sdk::internal::Signal;

/// What a running instance learns from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// SIGINT came: it is passed on to the app-server.
    Interrupt,
    /// SIGTERM came: it is passed on to the app-server.
    Terminate,
    /// SIGHUP came: it is passed on to the app-server.
    Hangup,
    /// Nobody reads the events any more: the instance ends at once.
    ReaderGone,
}

impl Notice {
    /// The name of the signal that came, and the signal to pass on.
    pub(super) fn signal(self) -> Option<(&'static str, Signal)> {
        match self {
            Self::Interrupt => Some(("SIGINT", Signal::Interrupt)),
            Self::Terminate => Some(("SIGTERM", Signal::Terminate)),
            Self::Hangup => Some(("SIGHUP", Signal::Hangup)),
            Self::ReaderGone => None,
        }
    }
}

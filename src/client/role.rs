//! `Role`: which requests of the server a client answers, and what it may do to threads that others
//! have started.

/// The role of a client towards the threads of its server; see
/// [`Builder::role`](crate::Builder::role).
///
/// Several clients may share a server. Then the server sends a request, such as an approval, to all
/// of them, and takes the first answer, even a refusal. In every role a client answers the requests
/// of its own threads: those that it started or forked on this connection, and the threads of their
/// sub-agents. It also answers the token refreshes of a login that it made. The roles differ in
/// what they do about the rest, the requests of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Answers every request, with a refusal if no handler accepts. The default for a server that
    /// this client starts.
    Owner,
    /// Watches the threads of others. Their requests are shown and never answered, and what would
    /// change such a thread is [refused](crate::Error::Observer) before it is sent. The default for
    /// a server that this client joins.
    Observer,
    /// Takes part in the threads of others: sends input, interrupts, and answers a request of
    /// others when it is [told to](crate::handlers::PendingRequest::answer), never by itself.
    Driver,
}

impl Role {
    /// Whether an observer may send this request about a thread that it did not start.
    pub(crate) fn is_harmless(method: &str) -> bool {
        let last = method.rsplit('/').next().unwrap_or_default();
        matches!(
            last,
            "list" | "read" | "get" | "installed" | "searchOccurrences"
        ) || matches!(
            method,
            "thread/resume" | "thread/fork" | "thread/unsubscribe"
        )
    }
}

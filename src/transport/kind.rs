//! Who runs the server of a connection.

/// How a client reached its server. This decides what the client may do to the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionKind {
    /// [`spawn`](crate::Builder::spawn) started the server as a child of this process. The server
    /// ends with the client.
    Spawned,
    /// `Builder::serve` started the server, and other programs may join it. The server ends with
    /// the client.
    Served {
        /// The address at which others join the server.
        address: String,
    },
    /// `Builder::connect_to` joined a server that somebody else runs. The server outlives the
    /// client.
    Joined {
        /// The address of the server.
        address: String,
    },
    /// [`connect`](crate::Builder::connect) was given two streams. Who runs the server is not
    /// known.
    Streams,
}

impl ConnectionKind {
    /// Whether the server is this client's own: the client started it, and ends it.
    #[must_use]
    pub fn is_own_server(&self) -> bool {
        matches!(self, Self::Spawned | Self::Served { .. })
    }

    /// The longest message that the server accepts, in bytes; a longer one ends the connection.
    pub(crate) fn max_outgoing(&self) -> Option<usize> {
        match self {
            Self::Served { .. } | Self::Joined { .. } => Some(64 * 1024 * 1024),
            Self::Spawned | Self::Streams => None,
        }
    }
}

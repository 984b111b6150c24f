//! `Decision`: the answer to a request for approval.

use std::fmt;

/// The answer to a request for approval.
///
/// What the server does not offer for a request falls back to the next stricter decision that it does, in the order of
/// the variants. Declining is always possible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Accept, permanently if the server offers that: a command with the amendment of the execution policy that the server
    /// proposes, an MCP tool call with `persist: always`. Otherwise the same as
    /// [`AcceptForSession`](Self::AcceptForSession).
    AcceptAlways,
    /// Accept, and amend the execution policy by this prefix of commands, which has to be the one that the server
    /// proposes. For commands only.
    AcceptWithExecpolicyAmendment(Vec<String>),
    /// Amend the network policy: allow or deny this host from now on. For commands that want the network.
    ApplyNetworkPolicyAmendment {
        /// Whether the host is allowed.
        allow: bool,
        /// The host, as the server named it.
        host: String,
    },
    /// Accept, and don't ask again for the same thing in this session.
    AcceptForSession,
    /// Accept once.
    Accept,
    /// Decline. The turn goes on: the model is told and may try something else.
    Decline,
    /// Decline and interrupt the turn. Where the method has no such answer, the same as [`Decline`](Self::Decline).
    Cancel,
}

impl Decision {
    /// Whether it lets the agent do what it asks for.
    #[must_use]
    pub fn accepts(&self) -> bool {
        match self {
            Self::AcceptAlways
            | Self::AcceptWithExecpolicyAmendment(_)
            | Self::AcceptForSession
            | Self::Accept => true,
            Self::ApplyNetworkPolicyAmendment { allow, .. } => *allow,
            Self::Decline | Self::Cancel => false,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::AcceptAlways => "acceptAlways",
            Self::AcceptWithExecpolicyAmendment(_) => "acceptWithExecpolicyAmendment",
            Self::ApplyNetworkPolicyAmendment { .. } => "applyNetworkPolicyAmendment",
            Self::AcceptForSession => "acceptForSession",
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Cancel => "cancel",
        }
    }
}

impl fmt::Display for Decision {
    /// The word on the wire, or the closest to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

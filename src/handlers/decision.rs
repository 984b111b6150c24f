//! `Decision`: the answer to a request for approval.

use std::fmt;

/// The answer to a request for approval.
///
/// A decision that the server does not offer for a request falls back to the next stricter decision
/// that the server offers, in the order of the variants. Declining is always possible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Accept, permanently if the server offers that: a command with the amendment of the execution
    /// policy that the server proposes, an MCP tool call with `persist: always`. Otherwise the same
    /// as [`AcceptForSession`](Self::AcceptForSession).
    AcceptAlways,
    /// Accept, and amend the execution policy by this command prefix, which has to be the one that
    /// the server proposes. For commands only.
    AcceptWithExecpolicyAmendment(Vec<String>),
    /// Amend the network policy: allow or deny this host from now on. For commands that need the
    /// network.
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
    /// Decline. The turn goes on: the model learns of the refusal and may try something else.
    Decline,
    /// Decline and interrupt the turn. The same as [`Decline`](Self::Decline) for a method that has
    /// no such answer.
    Cancel,
}

impl Decision {
    /// Whether the decision lets the agent do what it asks for.
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
    /// Writes the word on the wire, or the closest one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

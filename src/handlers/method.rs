//! The methods of the server's requests, classified in one place.

/// What a server request asks for.
///
/// The methods are matched as text, and not taken from the schema, because some belong to servers
/// older or newer than the vendored schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerMethod {
    /// `item/tool/call`.
    ToolCall,
    Approval(Approval),
    /// `item/tool/requestUserInput`.
    UserInput,
    /// `mcpServer/elicitation/request`.
    Elicitation,
    /// `account/chatgptAuthTokens/refresh`.
    AuthRefresh,
    /// `attestation/generate`.
    Attestation,
    /// `currentTime/read`, from servers up to 0.169.
    CurrentTime,
    /// `execCommandApproval` and `applyPatchApproval`, from the first protocol.
    Deprecated,
    /// Any other method.
    Unknown,
}

/// What the server wants to have approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approval {
    /// `item/commandExecution/requestApproval`.
    Command,
    /// `item/fileChange/requestApproval`.
    FileChange,
    /// `item/permissions/requestApproval`.
    Permissions,
    /// `skill/requestApproval`, from servers before 0.142.
    Skill,
}

impl Approval {
    pub(crate) const ALL: [Self; 4] = [
        Self::Command,
        Self::FileChange,
        Self::Permissions,
        Self::Skill,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Command => "item/commandExecution/requestApproval",
            Self::FileChange => "item/fileChange/requestApproval",
            Self::Permissions => "item/permissions/requestApproval",
            Self::Skill => "skill/requestApproval",
        }
    }

    pub(crate) fn of(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == method)
    }
}

impl ServerMethod {
    pub(crate) const TOOL_CALL: &str = "item/tool/call";
    pub(crate) const USER_INPUT: &str = "item/tool/requestUserInput";
    pub(crate) const ELICITATION: &str = "mcpServer/elicitation/request";
    pub(crate) const CURRENT_TIME: &str = "currentTime/read";

    pub(crate) fn of(method: &str) -> Self {
        if let Some(approval) = Approval::of(method) {
            return Self::Approval(approval);
        }
        match method {
            Self::TOOL_CALL => Self::ToolCall,
            Self::USER_INPUT => Self::UserInput,
            Self::ELICITATION => Self::Elicitation,
            "account/chatgptAuthTokens/refresh" => Self::AuthRefresh,
            "attestation/generate" => Self::Attestation,
            Self::CURRENT_TIME => Self::CurrentTime,
            "execCommandApproval" | "applyPatchApproval" => Self::Deprecated,
            _ => Self::Unknown,
        }
    }

    /// Whether the request asks for a decision, which is reported to the audit.
    pub(crate) fn is_decision(self) -> bool {
        matches!(self, Self::Approval(_) | Self::Elicitation)
    }

    /// The result that refuses the request, if the method has one.
    pub(crate) fn refusal(self) -> Option<&'static str> {
        Some(match self {
            Self::Approval(Approval::Permissions) => r#"{"permissions":{}}"#,
            Self::Approval(_) => r#"{"decision":"decline"}"#,
            Self::UserInput => r#"{"answers":{}}"#,
            Self::Elicitation => r#"{"action":"decline"}"#,
            Self::ToolCall => {
                r#"{"contentItems":[{"type":"inputText","text":"this tool is not available"}],"success":false}"#
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{MethodKind, inventory};

    #[test]
    fn every_server_request_of_the_schema_is_known() {
        for known in inventory() {
            if known.kind == MethodKind::ServerRequest {
                assert_ne!(
                    ServerMethod::of(known.method),
                    ServerMethod::Unknown,
                    "{}",
                    known.method
                );
            }
        }
    }
}

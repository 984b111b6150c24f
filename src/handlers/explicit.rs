//! `RequestAnswer`: an answer that comes from outside of a handler.

use super::{
    decision::Decision, elicitation::ElicitationAnswer, grant::Grant, tools::ToolOutput,
    user_input::Answers,
};

/// An answer to a [`PendingRequest`](super::PendingRequest). Each kind of answer converts into it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestAnswer {
    /// For approvals of commands, file changes, permissions and skills, and for elicitations that
    /// ask for no content.
    Decision(Decision),
    /// For `item/permissions/requestApproval`.
    Grant(Grant),
    /// For `item/tool/requestUserInput`.
    Answers(Answers),
    /// For `mcpServer/elicitation/request`.
    Elicitation(ElicitationAnswer),
    /// For `item/tool/call`.
    Tool(ToolOutput),
}

impl From<Decision> for RequestAnswer {
    fn from(decision: Decision) -> Self {
        Self::Decision(decision)
    }
}

impl From<Grant> for RequestAnswer {
    fn from(grant: Grant) -> Self {
        Self::Grant(grant)
    }
}

impl From<Answers> for RequestAnswer {
    fn from(answers: Answers) -> Self {
        Self::Answers(answers)
    }
}

impl From<ElicitationAnswer> for RequestAnswer {
    fn from(answer: ElicitationAnswer) -> Self {
        Self::Elicitation(answer)
    }
}

impl From<ToolOutput> for RequestAnswer {
    fn from(output: ToolOutput) -> Self {
        Self::Tool(output)
    }
}

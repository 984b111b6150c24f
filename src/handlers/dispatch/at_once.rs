//! What is answered in the reader, without a task: refusals, and what a policy decides from the request alone.

use tracing::Level;

use super::{
    Answer, Dispatch,
    route::{Case, decide},
};
use crate::{
    handlers::{
        Decision,
        policy::{DecidedBy, Facts, Policy, Ruling},
    },
    rpc::Incoming,
};

/// Longer params are looked at in a task, not in the reader.
const MOST_AT_ONCE: usize = 256 * 1024;

impl Dispatch {
    /// The answer that needs nobody: a refusal, or the decision of a policy that looks at nothing but the request.
    /// `None` if anybody else has a say. It runs in the reader, so that the server need not wait for a task.
    pub(super) fn at_once(&self, message: &Incoming) -> Option<Answer> {
        if message
            .parts()
            .params()
            .is_some_and(|p| p.len() > MOST_AT_ONCE)
        {
            return None;
        }
        let case = self.case(message)?;
        match case.method {
            "item/commandExecution/requestApproval"
            | "item/fileChange/requestApproval"
            | "item/permissions/requestApproval"
            | "skill/requestApproval" => {
                let policy = case.handlers.approvals.as_ref();
                if policy.is_some_and(Policy::looks_at_files) {
                    return None;
                }
                let facts = self.facts(&case).0;
                let ruled = policy.and_then(|policy| policy.decide(&facts));
                by_policy(&case, &facts, ruled).or_else(|| {
                    let asked = policy.is_some_and(|policy| policy.handler.is_some());
                    (!asked).then(|| self.refuse(&case))?
                })
            }
            "execCommandApproval" | "applyPatchApproval" => Some(self.deprecated(case.method)),
            "item/tool/requestUserInput" if case.handlers.user_input.is_none() => {
                self.refuse(&case)
            }
            "item/tool/call"
            | "item/tool/requestUserInput"
            | "mcpServer/elicitation/request"
            | "account/chatgptAuthTokens/refresh"
            | "attestation/generate"
            | "currentTime/read" => None,
            _ => self.refuse(&case),
        }
    }

    /// The refusal of what nobody claims, unless somebody may.
    fn refuse(&self, case: &Case<'_>) -> Option<Answer> {
        (!self.has_fallback(case)).then(|| self.refused(case.method))
    }

    pub(super) fn refused(&self, method: &str) -> Answer {
        let named = method.to_owned();
        self.aside.trace(Level::WARN, move || {
            tracing::warn!(target: "cas_sdk", method = named, "no handler for a request of the server");
        });
        Answer::refusal(method)
    }

    pub(super) fn deprecated(&self, method: &str) -> Answer {
        let named = method.to_owned();
        self.aside.trace(Level::ERROR, move || {
            tracing::error!(target: "cas_sdk", method = named, "a deprecated request of the server was refused");
        });
        Answer::deprecated(method)
    }
}

/// What a policy decides without its handler: by a rule, or because there is none.
pub(super) fn by_policy(case: &Case<'_>, facts: &Facts, ruled: Option<Ruling>) -> Option<Answer> {
    let policy = case.handlers.approvals.as_ref()?;
    let ruling = match ruled {
        Some(ruling) => ruling,
        None if policy.closed && policy.handler.is_none() => Ruling {
            decision: Decision::Decline,
            by: "Policy::decline".to_owned(),
            warning: None,
        },
        None => return None,
    };
    let by = DecidedBy::Rule(ruling.by);
    Some(decide(case, facts, &ruling.decision, by).warned(ruling.warning))
}

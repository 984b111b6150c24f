//! Responses made in the reader, without a task: refusals, and what a policy decides from the
//! request alone. No user code runs here.

use tracing::Level;

use super::{Dispatch, call::ServerCall, decide::by_policy};
use crate::{
    handlers::{
        answer::Answer,
        method::{Approval, ServerMethod},
        policy::Policy,
    },
    rpc::Incoming,
};

/// The longest params that are read in the reader, in bytes; longer ones are read in a task.
const MAX_PARAMS: usize = 256 * 1024;

impl Dispatch {
    /// The response that this crate can give by itself: a refusal, or the decision of a policy that
    /// looks only at the request. `None` if user code or the file system has a say. Runs in the
    /// reader, so that the server need not wait for a task.
    pub(super) fn answer_immediately(&self, message: &Incoming) -> Option<Answer> {
        let params = message.parts().params();
        if params.is_some_and(|params| params.len() > MAX_PARAMS) {
            return None;
        }
        let call = self.call(message)?;
        match call.method {
            ServerMethod::Approval(approval) => self.decide_immediately(&call, approval),
            ServerMethod::Deprecated => Some(self.deprecated(call.name)),
            ServerMethod::UserInput if call.handlers.user_input.is_some() => None,
            ServerMethod::UserInput | ServerMethod::Unknown => self.refuse(&call),
            ServerMethod::ToolCall
            | ServerMethod::Elicitation
            | ServerMethod::AuthRefresh
            | ServerMethod::Attestation
            | ServerMethod::CurrentTime => None,
        }
    }

    fn decide_immediately(&self, call: &ServerCall<'_>, approval: Approval) -> Option<Answer> {
        let policy = call.handlers.approvals.as_ref();
        if policy.is_some_and(Policy::looks_at_files) {
            return None;
        }
        let facts = self.facts(call, approval).0;
        let ruled = policy.and_then(|policy| policy.decide(&facts));
        by_policy(call, approval, &facts, ruled).or_else(|| {
            let asked = policy.is_some_and(|policy| policy.handler.is_some());
            (!asked).then(|| self.refuse(call))?
        })
    }

    /// Refuses a request that nobody claims, unless somebody may still claim it.
    fn refuse(&self, call: &ServerCall<'_>) -> Option<Answer> {
        (!self.has_fallback(call)).then(|| self.refused(call.name))
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

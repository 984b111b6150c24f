//! `Handlers`: the handlers of a client, or of the threads that are opened with them.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use serde_json::Value;

use super::{
    Answers, Clock, Decision, Elicitation, ElicitationAnswer, Erased, Fallback, UnclaimedRequest,
    Undecoded, UserInput, elicitation, erase,
};
use crate::handlers::{
    policy::Policy,
    tools::{DynamicTool, Tools},
};

/// Who answers the server's requests. The builder has a method for each handler; a value of this type is for some threads
/// only, see [`CasClient::with_handlers`](crate::CasClient::with_handlers).
///
/// ```no_run
/// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
/// use cas_sdk::{Handlers, Policy};
/// // Accepts commands and changes of files for the session; see the type's documentation.
/// let trusted = client.with_handlers(Handlers::new().approvals(Policy::auto()));
/// let thread = trusted.start_thread(Default::default()).await?;
/// # Ok(()) }
/// ```
///
/// # What is answered by whom
/// | the server's request | handler | without one |
/// |---|---|---|
/// | `item/tool/call` | [`Tool`](crate::Tool), [`DynamicTool`] | the model is told that there is no such tool |
/// | `item/tool/requestUserInput` | [`UserInput`] | no answers |
/// | `item/{commandExecution,fileChange,permissions}/requestApproval`, `skill/requestApproval` | [`Approvals`](crate::Approvals), [`Policy`] | refused |
/// | `mcpServer/elicitation/request` | [`Elicitation`], [`Policy`] for tool calls | refused |
/// | `account/chatgptAuthTokens/refresh` | [`AuthRefresh`](crate::AuthRefresh) | error -32601: the turn fails |
/// | `attestation/generate` | [`Attestation`](crate::Attestation) | never asked |
/// | `currentTime/read` (up to codex 0.169) | [`Clock`] | the time of this machine |
/// | `execCommandApproval`, `applyPatchApproval` (v1) | none | error -32602 |
/// | everything else | [`Fallback`] or [`unclaimed_requests`](crate::CasClient::unclaimed_requests) | error -32601 |
///
/// What has no handler goes to the fallback before it is refused.
///
/// What no handler, no fallback and nothing on disk has a say in, such as a rule that needs only the request, is answered
/// at once. Any other request runs in a task of its own, at most 256 at once (then error -32001), off the reader, so a
/// handler may call the client. It is answered exactly once: by its handler; by a refusal that fits its method if the handler fails
/// or panics; or by nobody, when the server says that it is settled, the turn or the thread ends, or the connection does.
/// Then the handler's future is dropped.
#[derive(Clone, Default)]
#[must_use = "handlers do nothing until a client is given them"]
pub struct Handlers {
    pub(crate) tools: Tools,
    pub(crate) approvals: Option<Policy>,
    pub(crate) approval_limit: Option<Limit<Decision>>,
    pub(crate) user_input: Option<Erased<Undecoded, Answers>>,
    pub(crate) user_input_limit: Option<Limit<Answers>>,
    pub(crate) elicitation: Option<elicitation::ElicitationHandler>,
    pub(crate) elicitation_limit: Option<Limit<ElicitationAnswer>>,
    pub(crate) openai_forms: bool,
    pub(crate) clock: Option<Erased<(), std::time::SystemTime>>,
    pub(crate) fallback: Option<Erased<UnclaimedRequest, Value>>,
    /// Whether it has been said which of them the server never calls.
    pub(super) warned: Arc<AtomicBool>,
}

/// How long a handler may take, and what is answered then.
#[derive(Debug, Clone)]
pub(crate) struct Limit<A> {
    pub(crate) after: Duration,
    pub(crate) outcome: A,
}

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool; see [`Builder::tool`](crate::Builder::tool). For a thread it comes on top of the client's tools, and
    /// in the place of one that has its name.
    pub fn tool(mut self, tool: impl Into<DynamicTool>) -> Self {
        self.tools.add(tool.into());
        self
    }

    /// Says what a namespace of tools is about; see [`Builder::tool_namespace`](crate::Builder::tool_namespace).
    pub fn tool_namespace(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.tools.describe(name.into(), description.into());
        self
    }

    /// Decides about approvals; see [`Builder::approvals`](crate::Builder::approvals).
    pub fn approvals(mut self, policy: impl Into<Policy>) -> Self {
        let policy = policy.into();
        policy.warn();
        self.approvals = Some(policy);
        self
    }

    /// How long the [`Approvals`](super::Approvals) handler may take, and what is decided then. Default: no limit. What the
    /// server wants a person to decide, and what is of an unknown kind or can't be read, is declined then, whatever the outcome says.
    pub fn approval_limit(mut self, after: Duration, outcome: Decision) -> Self {
        self.approval_limit = Some(Limit { after, outcome });
        self
    }

    /// Answers the questions of the model.
    pub fn user_input(mut self, handler: impl UserInput) -> Self {
        self.user_input = Some(erase(handler));
        self
    }

    /// How long the [`UserInput`] handler may take, and what is answered then. Default: no limit for questions that block the
    /// model; 60 s and no answers for those that need not.
    pub fn user_input_limit(mut self, after: Duration, outcome: Answers) -> Self {
        self.user_input_limit = Some(Limit { after, outcome });
        self
    }

    /// Answers the elicitations of MCP servers.
    pub fn elicitation(mut self, handler: impl Elicitation) -> Self {
        self.openai_forms = handler.openai_forms();
        self.elicitation = Some(erase(handler));
        self
    }

    /// How long the [`Elicitation`] handler may take, and what is answered then. Default: no limit.
    pub fn elicitation_limit(mut self, after: Duration, outcome: ElicitationAnswer) -> Self {
        self.elicitation_limit = Some(Limit { after, outcome });
        self
    }

    /// Tells the server the time. Codex 0.171 and later never asks; the crate warns of that once.
    pub fn clock(mut self, handler: impl Clock) -> Self {
        self.clock = Some(erase(handler));
        self
    }

    /// Answers what nothing else claims.
    pub fn fallback(mut self, handler: impl Fallback) -> Self {
        self.fallback = Some(erase(handler));
        self
    }

    /// These handlers for a thread that is not known: with a policy that accepts only what the policies of `all` and of
    /// threads that are `gone` accept, and without an [`Elicitation`] handler that is not everybody's.
    pub(crate) fn for_unknown<'a>(
        &self,
        all: impl Iterator<Item = &'a Self>,
        gone: &[Policy],
    ) -> Self {
        let (mut unknown, mut policies) = (self.clone(), gone.to_vec());
        for handlers in all {
            let policy = handlers.approvals.clone();
            policies.push(policy.unwrap_or_else(Policy::decline));
            let same = match (&unknown.elicitation, &handlers.elicitation) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                _ => false,
            };
            if !same {
                unknown.elicitation = None;
            }
        }
        unknown.approvals = Some(Policy::strictest(policies));
        unknown
    }

    /// These, and those of `base` where there is none here.
    pub(crate) fn over(self, base: &Self) -> Self {
        let (approvals, approval_limit) = beside(
            (self.approvals, self.approval_limit),
            (&base.approvals, &base.approval_limit),
        );
        let (user_input, user_input_limit) = beside(
            (self.user_input, self.user_input_limit),
            (&base.user_input, &base.user_input_limit),
        );
        let (elicitation, elicitation_limit) = beside(
            (self.elicitation, self.elicitation_limit),
            (&base.elicitation, &base.elicitation_limit),
        );
        Self {
            tools: self.tools.over(&base.tools),
            approvals,
            approval_limit,
            user_input,
            user_input_limit,
            elicitation,
            elicitation_limit,
            openai_forms: base.openai_forms,
            clock: self.clock.or_else(|| base.clock.clone()),
            fallback: self.fallback.or_else(|| base.fallback.clone()),
            warned: self.warned,
        }
    }
}

/// A handler and its limit, or those of the base. What a limit limits is the handler it was set beside.
fn beside<H: Clone, L: Clone>(
    mine: (Option<H>, Option<L>),
    base: (&Option<H>, &Option<L>),
) -> (Option<H>, Option<L>) {
    match mine {
        (Some(handler), limit) => (Some(handler), limit),
        (None, limit) => (base.0.clone(), limit.or_else(|| base.1.clone())),
    }
}

impl fmt::Debug for Handlers {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("tools", &self.tools)
            .field("approvals", &self.approvals)
            .field("user_input", &self.user_input.is_some())
            .field("elicitation", &self.elicitation.is_some())
            .field("clock", &self.clock.is_some())
            .field("fallback", &self.fallback.is_some())
            .finish_non_exhaustive()
    }
}

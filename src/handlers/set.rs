//! `Handlers`: the handlers of a client, or of the threads that are opened with them.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use serde_json::Value;

use super::{
    attestation::Attestation,
    auth::{AuthRefresh, ChatgptTokens, RefreshRequest},
    clock::Clock,
    decision::Decision,
    elicitation::{Elicitation, ElicitationAnswer, ElicitationHandler},
    fallback::{Fallback, UnclaimedRequest},
    policy::{Audit, AuditFn, Policy},
    request::Undecoded,
    tools::{DynamicTool, Tools},
    user_code::{Handler, UserCode},
    user_input::{Answers, UserInput},
};

/// The handlers for the server's requests: those of a client, passed to
/// [`Builder::handlers`](crate::Builder::handlers), or those of some of its threads, passed to
/// [`CasClient::with_handlers`](crate::CasClient::with_handlers).
///
/// Handlers are called in tasks of their own, never in the task that reads from the server.
///
/// ```no_run
/// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
/// use cas_sdk::{Handlers, policy::Policy};
/// // Accepts commands and changes of files for the session; see the type's documentation.
/// let trusted = client.with_handlers(Handlers::new().approvals(Policy::auto()));
/// let thread = trusted.start_thread(Default::default()).await?;
/// # Ok(()) }
/// ```
///
/// # Answers
/// | server request | handler | without a handler |
/// |---|---|---|
/// | `item/tool/call` | [`Tool`](crate::Tool), [`DynamicTool`] | the model learns that the tool does not exist |
/// | `item/tool/requestUserInput` | [`UserInput`] | no answers |
/// | `item/{commandExecution,fileChange,permissions}/requestApproval`, `skill/requestApproval` | [`Approvals`](super::Approvals), [`Policy`] | refused |
/// | `mcpServer/elicitation/request` | [`Elicitation`], [`Policy`] for tool calls | refused |
/// | `account/chatgptAuthTokens/refresh` | [`AuthRefresh`] | error -32601: the turn fails |
/// | `attestation/generate` | [`Attestation`] | the server never asks |
/// | `currentTime/read` (up to codex 0.169) | [`Clock`] | the time of this machine |
/// | `execCommandApproval`, `applyPatchApproval` (v1) | none | error -32602 |
/// | everything else | [`Fallback`] or [`unclaimed_requests`](crate::CasClient::unclaimed_requests) | error -32601 |
///
/// A request without a handler goes to the fallback before it is refused.
///
/// A request is answered at once if no handler, no fallback and no file on disk has a say in it, as
/// with a rule that needs only the request. Any other request runs in a task of its own, at most
/// 256 at once (further requests get error -32001). The task runs off the reader, so a handler may
/// call the client. A request is answered exactly once: by its handler; by a refusal that fits its
/// method if the handler fails or panics; or by nobody, if the server says that the request is
/// settled, or the turn, the thread or the connection ends. In that last case the handler's future
/// is dropped.
#[derive(Clone, Default)]
#[must_use = "handlers do nothing until a client is given them"]
pub struct Handlers {
    pub(crate) tools: Tools,
    pub(crate) approvals: Option<Policy>,
    pub(crate) approval_limit: Option<Limit<Decision>>,
    pub(crate) user_input: Option<Handler<Undecoded, Answers>>,
    pub(crate) user_input_limit: Option<Limit<Answers>>,
    pub(crate) elicitation: Option<ElicitationHandler>,
    pub(crate) elicitation_limit: Option<Limit<ElicitationAnswer>>,
    pub(crate) openai_forms: bool,
    pub(crate) clock: Option<Handler<(), std::time::SystemTime>>,
    pub(crate) fallback: Option<Handler<UnclaimedRequest, Value>>,
    pub(crate) auth_refresh: Option<Handler<RefreshRequest, ChatgptTokens>>,
    pub(crate) attestation: Option<Handler<(), String>>,
    pub(crate) audit: Option<AuditFn>,
    /// Whether the warning about handlers that the server never calls was given.
    pub(super) warned: Arc<AtomicBool>,
}

/// How long a handler may take, and the answer when its time is up.
#[derive(Debug, Clone)]
pub(crate) struct Limit<A> {
    pub(crate) after: Duration,
    pub(crate) outcome: A,
}

impl Handlers {
    /// Makes a set without handlers: every request is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a tool that the model may call: a [`Tool`](crate::Tool), or a [`DynamicTool`] made
    /// from a closure or with its own limits. Started threads advertise the tool. A thread has its
    /// own tools in addition to the client's, and a tool replaces an earlier one with its name.
    pub fn tool(mut self, tool: impl Into<DynamicTool>) -> Self {
        self.tools.add(tool.into());
        self
    }

    /// Registers several tools.
    pub fn tools<T: Into<DynamicTool>>(self, tools: impl IntoIterator<Item = T>) -> Self {
        tools.into_iter().fold(self, Self::tool)
    }

    /// Describes a namespace of tools to the model, in at most 1,024 characters. Default: the names
    /// of its tools.
    pub fn tool_namespace(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.tools.describe(name.into(), description.into());
        self
    }

    /// Decides about commands, file changes, permissions, skills and the tools of MCP servers: a
    /// [`Policy`], or an [`Approvals`](super::Approvals) handler. Default: everything is declined.
    pub fn approvals(mut self, policy: impl Into<Policy>) -> Self {
        let policy = policy.into();
        policy.warn();
        self.approvals = Some(policy);
        self
    }

    /// Limits the time of the [`Approvals`](super::Approvals) handler, and sets the decision when
    /// the time is up. Default: no limit, because people answer slowly; the server waits forever.
    /// When the time is up, a request that the server wants a person to decide, that is of an
    /// unknown kind, or that can't be read is declined, whatever `outcome` says.
    pub fn approval_limit(mut self, after: Duration, outcome: Decision) -> Self {
        self.approval_limit = Some(Limit { after, outcome });
        self
    }

    /// Answers the model's questions to the user. Default: no answers.
    pub fn user_input(mut self, handler: impl UserInput) -> Self {
        self.user_input = Some(Handler::of(handler));
        self
    }

    /// Limits the time of the [`UserInput`] handler, and sets the answers when the time is up.
    /// Default: no limit for questions that block the model; 60 s and no answers for questions that
    /// don't.
    pub fn user_input_limit(mut self, after: Duration, outcome: Answers) -> Self {
        self.user_input_limit = Some(Limit { after, outcome });
        self
    }

    /// Answers the elicitations of MCP servers. Default: they are declined.
    pub fn elicitation(mut self, handler: impl Elicitation) -> Self {
        self.openai_forms = handler.openai_forms();
        self.elicitation = Some(Handler::of(handler));
        self
    }

    /// Limits the time of the [`Elicitation`] handler, and sets the answer when the time is up.
    /// Default: no limit.
    pub fn elicitation_limit(mut self, after: Duration, outcome: ElicitationAnswer) -> Self {
        self.elicitation_limit = Some(Limit { after, outcome });
        self
    }

    /// Tells the server the time, if it is configured to ask. Codex 0.171 and later never asks; the
    /// crate warns about that once. Default: the time of this machine.
    pub fn clock(mut self, handler: impl Clock) -> Self {
        self.clock = Some(Handler::of(handler));
        self
    }

    /// Answers requests that nothing else claims. Default: they are refused.
    pub fn fallback(mut self, handler: impl Fallback) -> Self {
        self.fallback = Some(Handler::of(handler));
        self
    }

    /// Refreshes the ChatGPT tokens that this program has logged in with. Default: an error, which
    /// fails the turn. The login belongs to no thread, so only the builder's handlers count.
    pub fn auth_refresh(mut self, handler: impl AuthRefresh) -> Self {
        self.auth_refresh = Some(Handler::of(handler));
        self
    }

    /// Vouches for this client. The client then announces the capability `requestAttestation`.
    /// Default: the server doesn't ask. Only the builder's handlers count.
    pub fn attestation(mut self, handler: impl Attestation) -> Self {
        self.attestation = Some(Handler::of(handler));
        self
    }

    /// Sets a function that is called with every decision about an approval or an elicitation,
    /// before the decision is sent. Calls come one after the other, on a thread where blocking is
    /// allowed. The answer waits for the function; the task that reads from the server does not.
    /// Only the builder's handlers count.
    ///
    /// `tracing` gets each decision too, without the params: target `cas_sdk::audit`, level info.
    pub fn audit(mut self, audit: impl Fn(&Audit) + Send + Sync + 'static) -> Self {
        self.audit = Some(UserCode::new(Arc::new(audit)));
        self
    }

    /// These handlers for an unknown thread: with a policy that accepts only what the policies of
    /// `all` and of the closed threads in `gone` accept, and without an [`Elicitation`] handler
    /// unless all share it.
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
                (Some(one), Some(other)) => one.ptr_eq(other),
                _ => false,
            };
            if !same {
                unknown.elicitation = None;
            }
        }
        unknown.approvals = Some(Policy::strictest(policies));
        unknown
    }

    /// These handlers, completed by those of `base`.
    pub(crate) fn over(self, base: &Self) -> Self {
        let openai_forms = if self.elicitation.is_some() {
            self.openai_forms
        } else {
            base.openai_forms
        };
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
            openai_forms,
            clock: self.clock.or_else(|| base.clock.clone()),
            fallback: self.fallback.or_else(|| base.fallback.clone()),
            auth_refresh: self.auth_refresh.or_else(|| base.auth_refresh.clone()),
            attestation: self.attestation.or_else(|| base.attestation.clone()),
            audit: self.audit.or_else(|| base.audit.clone()),
            warned: self.warned,
        }
    }
}

/// A handler and its limit. Without a handler of its own, a set takes the base's handler, with its
/// own limit if it has one, else with the base's limit.
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("tools", &self.tools)
            .field("approvals", &self.approvals)
            .field("user_input", &self.user_input.is_some())
            .field("elicitation", &self.elicitation.is_some())
            .field("clock", &self.clock.is_some())
            .field("fallback", &self.fallback.is_some())
            .field("auth_refresh", &self.auth_refresh.is_some())
            .field("attestation", &self.attestation.is_some())
            .field("audit", &self.audit.is_some())
            .finish_non_exhaustive()
    }
}

//! The audit: every decision about an approval or an elicitation, and the one who made it.

use std::{
    fmt,
    time::{Instant, SystemTime},
};

use tracing::Level;

use crate::handlers::user_code::UserCode;
use crate::protocol::routing::RoutingKeys as _;
use crate::{
    handlers::{error::HandlerError, request::request_id},
    protocol::RequestId,
    rpc::{Aside, Incoming},
};

/// A decision that is about to be sent to the server; see
/// [`Handlers::audit`](crate::Handlers::audit).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Audit {
    /// The method of the request.
    pub method: String,
    /// The id of the request.
    pub request_id: RequestId,
    /// The id of the thread that the request names.
    pub thread_id: Option<String>,
    /// The id of the turn that the request names.
    pub turn_id: Option<String>,
    /// The id of the item that the request names.
    pub item_id: Option<String>,
    /// The params of the request, as JSON text.
    pub params: String,
    /// The one who decided.
    pub by: DecidedBy,
    /// A warning about the rule that decided: it accepts a program that can run any other.
    pub warning: Option<String>,
    /// The answer, as JSON text: the `result` or the `error`.
    pub answer: String,
    /// The time at which the request was read.
    pub received_at: Instant,
    /// The time of the decision.
    pub decided_at: SystemTime,
}

/// The one who decided about a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DecidedBy {
    /// A rule or a preset of the [`Policy`](crate::policy::Policy), by its name.
    Rule(String),
    /// The registered handler.
    Handler,
    /// The caller of [`PendingRequest::answer`](crate::handlers::PendingRequest::answer).
    Caller,
    /// The fallback, or a [`Responder`](crate::handlers::Responder).
    Fallback,
    /// Nobody: the handler exceeded its time limit.
    TimeLimit,
    /// Nobody: the handler failed or panicked, so the request was refused.
    Failure(HandlerError),
    /// Nobody: no rule and no handler applies, so the request was refused.
    Default,
    /// The server, whose settings forbid it to ask. The text names the setting, and the one that
    /// allows it.
    ///
    /// In this case there is no request. The method is that of the notification, `item/completed`;
    /// the request id is that of the item; the answer is the item's error.
    Settings(String),
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "{name}"),
            Self::Handler => f.write_str("handler"),
            Self::Caller => f.write_str("explicit answer"),
            Self::Fallback => f.write_str("fallback"),
            Self::TimeLimit => f.write_str("time limit"),
            Self::Failure(error) => write!(f, "failed handler: {error}"),
            Self::Default => f.write_str("default"),
            Self::Settings(text) => write!(f, "settings of the server: {text}"),
        }
    }
}

/// What is called with every decision.
pub(crate) type AuditFn = UserCode<dyn Fn(&Audit) + Send + Sync>;

/// The one who decided, and the decision in one word.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) by: DecidedBy,
    pub(crate) what: String,
    pub(crate) warning: Option<String>,
}

impl Decided {
    /// Logs the decision, without the params.
    pub(crate) fn log(&self, message: &Incoming, aside: &Aside) {
        let (message, decided) = (message.clone(), self.clone());
        aside.trace(Level::INFO, move || {
            let parts = message.parts();
            tracing::info!(
                target: "cas_sdk::audit",
                method = parts.method(),
                id = parts.id(),
                thread = parts.thread(),
                item = parts.item(),
                by = %decided.by,
                decision = decided.what,
                warning = decided.warning,
            );
        });
    }

    /// The record of the decision, with the params.
    pub(crate) fn into_audit(self, message: &Incoming, answer: &str) -> Audit {
        let parts = message.parts();
        let text = |part: Option<&str>| part.map(str::to_owned);
        Audit {
            method: text(parts.method()).unwrap_or_default(),
            request_id: match parts.id() {
                Some(_) => request_id(message),
                None => RequestId::Text(parts.item().unwrap_or_default().to_owned()),
            },
            thread_id: text(parts.thread()),
            turn_id: text(parts.turn()),
            item_id: text(parts.item()),
            params: text(parts.params()).unwrap_or_default(),
            by: self.by,
            warning: self.warning,
            answer: answer.to_owned(),
            received_at: message.received_at(),
            decided_at: SystemTime::now(),
        }
    }
}

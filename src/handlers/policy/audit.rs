//! The audit: what was decided about an approval or an elicitation, and by whom.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime},
};

use tracing::Level;

use crate::protocol::routing::RoutingKeys as _;
use crate::{
    handlers::{error::HandlerError, request::request_id},
    protocol::RequestId,
    rpc::{Aside, Incoming},
};

/// A decision that is about to be sent to the server; see [`Handlers::audit`](crate::Handlers::audit).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Audit {
    /// The method of the request.
    pub method: String,
    /// The id of the request.
    pub request_id: RequestId,
    /// The thread that the request names.
    pub thread_id: Option<String>,
    /// The turn that the request names.
    pub turn_id: Option<String>,
    /// The item that the request names.
    pub item_id: Option<String>,
    /// The params of the request, as JSON text.
    pub params: String,
    /// Who decided.
    pub by: DecidedBy,
    /// What is to be said of the rule that decided: it accepts a program that can run any other.
    pub warning: Option<String>,
    /// The answer, as JSON text: the `result`, or the `error`.
    pub answer: String,
    /// When the request was read.
    pub received_at: Instant,
    /// When it was decided.
    pub decided_at: SystemTime,
}

/// Who decided about a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DecidedBy {
    /// A rule or a preset of the [`Policy`](crate::policy::Policy), by its name.
    Rule(String),
    /// The registered handler.
    Handler,
    /// The fallback, or a [`Responder`](crate::handlers::Responder).
    Fallback,
    /// Nobody: the handler took longer than its limit.
    TimeLimit,
    /// Nobody: the handler failed, or panicked, so the request was refused.
    Failure(HandlerError),
    /// Nobody was there to decide, so the request was refused.
    Default,
    /// The server, which did not ask: its settings forbid it. The text names the setting, and the one that would allow it.
    ///
    /// There is no request then. The method is that of the notification, `item/completed`, the id of the request is that of
    /// the item, and the answer is the item's error.
    Settings(String),
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "{name}"),
            Self::Handler => f.write_str("handler"),
            Self::Fallback => f.write_str("fallback"),
            Self::TimeLimit => f.write_str("time limit"),
            Self::Failure(error) => write!(f, "failed handler: {error}"),
            Self::Default => f.write_str("default"),
            Self::Settings(text) => write!(f, "settings of the server: {text}"),
        }
    }
}

/// What is called with every decision: code of the user, which is called on a thread where it may block and never in the
/// reader.
pub(crate) type AuditFn = Arc<dyn Fn(&Audit) + Send + Sync>;

/// Who decided, and what in one word.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) by: DecidedBy,
    pub(crate) what: String,
    pub(crate) warning: Option<String>,
}

impl Decided {
    /// Tells a decision to the log, without the params.
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

    /// The same for who is told with the params.
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

//! Who answers the server's requests: one trait for each sort of request, and what every handler is told.

mod approvals;
mod attestation;
mod auth;
mod clock;
pub(crate) mod dispatch;
mod elicitation;
mod error;
mod fallback;
mod gone;
mod opened;
pub(crate) mod policy;
mod set;
pub(crate) mod tools;
mod user_input;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::{CasClient, error::misfit, protocol::RequestId, rpc::Incoming};

pub(crate) use approvals::{ApprovalAnswer, ApprovalHandler};
pub use approvals::{
    ApprovalRequest, Approvals, Decision, FileChangeApproval, Grant, SkillApproval,
};
pub use attestation::Attestation;
pub use auth::{AuthRefresh, RefreshRequest, Tokens};
pub use clock::Clock;
pub use elicitation::{
    Elicitation, ElicitationAnswer, ElicitationAsk, ElicitationRequest, McpToolCall, Persist,
};
pub use error::HandlerError;
pub(crate) use error::with_sources;
pub(crate) use fallback::request_id;
pub use fallback::{Fallback, Responder, UnclaimedRequest, UnclaimedRequests};
pub use set::Handlers;
pub use user_input::{Answers, UserInput};

/// Where a request of the server comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestContext {
    /// The client, for calls of its own. It does not keep the connection alive; a handler that captures another clone
    /// of the client does.
    pub client: CasClient,
    /// The id of the request.
    pub request_id: RequestId,
    /// The thread that the request names.
    pub thread_id: Option<String>,
    /// The turn that the request names.
    pub turn_id: Option<String>,
    /// The item that the request names.
    pub item_id: Option<String>,
}

/// A request before its params are decoded. What has a large type is decoded where the handler is put in its box, so that
/// the readers of the type are compiled for those who have such a handler.
pub(crate) struct Undecoded(Incoming);

impl Undecoded {
    pub(crate) fn new(message: &Incoming) -> Self {
        Self(message.clone())
    }

    pub(crate) fn method(&self) -> &str {
        self.0.parts().method().unwrap_or_default()
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        let parts = self.0.parts();
        let params = parts.params().unwrap_or("null");
        serde_json::from_str(params).map_err(|error| undecodable(self.method(), params, &error))
    }
}

pub(crate) fn undecodable(method: &str, params: &str, error: &serde_json::Error) -> HandlerError {
    let reason = misfit::describe(params, error);
    HandlerError::rpc(-32602, format!("{method} cannot be decoded: {reason}"))
}

/// A handler without its type.
pub(crate) type Erased<Q, A> =
    Arc<dyn Fn(Q, RequestContext) -> BoxFuture<'static, Result<A, HandlerError>> + Send + Sync>;

/// What all handlers have in common.
pub(crate) trait Asked<Q, A>: Send + Sync + 'static {
    fn ask(&self, request: Q, cx: RequestContext) -> BoxFuture<'_, Result<A, HandlerError>>;
}

/// Takes a handler's type away. That it lives while it answers is seen to in one place: in each that is generic over a
/// handler the compiler would look through all that a `RequestContext` holds, for what can't be sent to another thread.
pub(crate) fn erase<Q: Send + 'static, A: 'static>(handler: impl Asked<Q, A>) -> Erased<Q, A> {
    let handler: Arc<dyn Asked<Q, A>> = Arc::new(handler);
    Arc::new(move |request, cx| {
        let handler = handler.clone();
        Box::pin(async move { handler.ask(request, cx).await })
    })
}

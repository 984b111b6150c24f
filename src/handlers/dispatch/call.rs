//! A request on its way to its handler, and how a handler is run.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use super::guarded::{HandlerAbort, guarded};
use crate::{
    error::rounded::Rounded,
    handlers::{
        answer::Answer, context::RequestContext, error::HandlerError, method::ServerMethod,
        policy::DecidedBy, request::undecodable, set::Handlers,
    },
    rpc::Incoming,
};

/// A request on its way to its handler.
pub(super) struct ServerCall<'a> {
    pub(super) message: &'a Incoming,
    pub(super) name: &'a str,
    pub(super) method: ServerMethod,
    pub(super) params: &'a str,
    pub(super) handlers: Arc<Handlers>,
    pub(super) cx: RequestContext,
}

impl ServerCall<'_> {
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        serde_json::from_str(self.params).map_err(|e| undecodable(self.name, self.params, &e))
    }

    /// The refusal of a request whose handler failed.
    pub(super) fn failed(&self, error: HandlerError) -> Answer {
        tracing::error!(target: "cas_sdk", method = self.name, %error, "a handler failed");
        let (answer, what) = match self.method.refusal() {
            Some(refusal) => (Answer::result(refusal), "decline"),
            None => (Answer::failure(&error), "error"),
        };
        answer.decided(DecidedBy::Failure(error), what)
    }
}

/// Runs a handler. A panic counts as a failure; `None` means that the handler took too long.
pub(super) async fn run<A: Send>(
    limit: Option<Duration>,
    handler: BoxFuture<'static, Result<A, HandlerError>>,
) -> Option<Result<A, HandlerError>> {
    match guarded(limit, handler).await {
        Ok(said) => Some(said),
        Err(HandlerAbort::Panicked) => Some(Err(HandlerError::new("the handler panicked"))),
        Err(HandlerAbort::TimedOut) => None,
    }
}

/// Runs a handler that can refuse only by failing.
pub(super) async fn run_within<A: Send>(
    limit: Duration,
    handler: BoxFuture<'static, Result<A, HandlerError>>,
) -> Result<A, HandlerError> {
    run(Some(limit), handler).await.unwrap_or_else(|| {
        let text = format!("no answer came within {}", Rounded(limit));
        Err(HandlerError::new(text))
    })
}

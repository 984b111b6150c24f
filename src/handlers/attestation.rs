//! `attestation/generate`: a token that vouches for this client.

use std::future::Future;

use futures_util::future::BoxFuture;

use super::{context::RequestContext, error::HandlerError, user_code::Asked};

/// Answers `attestation/generate`. Registering a handler makes the client announce
/// `requestAttestation`. A codex with a ChatGPT login then sends one such request for every request
/// to the model.
///
/// The server waits 100 ms and then goes on without an attestation. A handler is stopped after 80
/// ms, so have the token ready. A closure `|cx| async { … }` is an `Attestation` too.
pub trait Attestation: Send + Sync + 'static {
    /// Returns the token, as in `v1.…`.
    ///
    /// # Errors
    /// The model is called without an attestation; the turn goes on.
    fn token(
        &self,
        cx: RequestContext,
    ) -> impl Future<Output = Result<String, HandlerError>> + Send;
}

impl<F, R> Attestation for F
where
    F: Fn(RequestContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<String, HandlerError>> + Send,
{
    fn token(
        &self,
        cx: RequestContext,
    ) -> impl Future<Output = Result<String, HandlerError>> + Send {
        self(cx)
    }
}

impl<H: Attestation> Asked<(), String> for H {
    fn ask(&self, (): (), cx: RequestContext) -> BoxFuture<'_, Result<String, HandlerError>> {
        Box::pin(self.token(cx))
    }
}

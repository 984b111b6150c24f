//! `currentTime/read`: the time as this client sees it.

use std::{future::Future, time::SystemTime};

use futures_util::future::BoxFuture;

use super::{context::RequestContext, error::HandlerError, user_code::Asked};

/// Answers `currentTime/read`, which codex up to 0.169 sends when it is configured with an external
/// clock: for simulations and replays. Without a handler the response is the time of this machine.
///
/// The server waits 10 s and then fails the turn; a handler is stopped after 9 s. A closure
/// `|cx| async { … }` is a `Clock` too.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time for the thread that `cx` names. Fractions of a second are cut off.
    ///
    /// # Errors
    /// The turn fails.
    fn now(
        &self,
        cx: RequestContext,
    ) -> impl Future<Output = Result<SystemTime, HandlerError>> + Send;
}

impl<F, R> Clock for F
where
    F: Fn(RequestContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<SystemTime, HandlerError>> + Send,
{
    fn now(
        &self,
        cx: RequestContext,
    ) -> impl Future<Output = Result<SystemTime, HandlerError>> + Send {
        self(cx)
    }
}

impl<H: Clock> Asked<(), SystemTime> for H {
    fn ask(&self, (): (), cx: RequestContext) -> BoxFuture<'_, Result<SystemTime, HandlerError>> {
        Box::pin(self.now(cx))
    }
}

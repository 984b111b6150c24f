//! Code of users, without its type: handlers, tools and the audit.
//!
//! It may block, panic or call the client, so the reader task must not run it. The types see to that: what a [`UserCode`]
//! holds is run by futures only, and the functions in which the reader routes a message are not async.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::{JoinError, spawn_blocking};

use super::{context::RequestContext, error::HandlerError};

/// Code of a user. Clones share it, and a future that runs it keeps it alive.
pub(crate) struct UserCode<F: ?Sized>(Arc<F>);

/// What all handlers have in common.
pub(crate) trait Asked<Q, A>: Send + Sync + 'static {
    fn ask(&self, request: Q, cx: RequestContext) -> BoxFuture<'_, Result<A, HandlerError>>;
}

/// A handler without its type.
pub(crate) type Handler<Q, A> = UserCode<dyn Asked<Q, A>>;

impl<F: ?Sized> UserCode<F> {
    pub(crate) fn new(code: Arc<F>) -> Self {
        Self(code)
    }

    /// Whether both are clones of the same code.
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<Q: Send + 'static, A: 'static> Handler<Q, A> {
    pub(crate) fn of(handler: impl Asked<Q, A>) -> Self {
        Self(Arc::new(handler))
    }

    /// Calls the handler once the future is polled.
    pub(crate) fn ask(
        &self,
        request: Q,
        cx: RequestContext,
    ) -> BoxFuture<'static, Result<A, HandlerError>> {
        let handler = self.0.clone();
        Box::pin(async move { handler.ask(request, cx).await })
    }
}

impl<F: ?Sized + Send + Sync + 'static> UserCode<F> {
    /// Runs it where the future is polled.
    pub(crate) async fn run<R>(&self, run: impl FnOnce(&F) -> BoxFuture<'static, R>) -> R {
        run(&self.0).await
    }

    /// Runs it on a thread where it may block. Fails if it panics.
    pub(crate) async fn run_blocking<R: Send + 'static>(
        &self,
        run: impl FnOnce(&F) -> R + Send + 'static,
    ) -> Result<R, JoinError> {
        let code = self.0.clone();
        spawn_blocking(move || run(&code)).await
    }
}

impl<F: ?Sized> Clone for UserCode<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

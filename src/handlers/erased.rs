//! Handlers without their types.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{context::RequestContext, error::HandlerError};

/// A handler without its type. Handlers are user code: they are called in a task, never in the
/// reader.
pub(crate) type Erased<Q, A> =
    Arc<dyn Fn(Q, RequestContext) -> BoxFuture<'static, Result<A, HandlerError>> + Send + Sync>;

/// The interface that all handlers share.
pub(crate) trait Asked<Q, A>: Send + Sync + 'static {
    fn ask(&self, request: Q, cx: RequestContext) -> BoxFuture<'_, Result<A, HandlerError>>;
}

/// Erases a handler's type, and keeps the handler alive while it answers.
pub(crate) fn erase<Q: Send + 'static, A: 'static>(handler: impl Asked<Q, A>) -> Erased<Q, A> {
    let handler: Arc<dyn Asked<Q, A>> = Arc::new(handler);
    Arc::new(move |request, cx| {
        let handler = handler.clone();
        Box::pin(async move { handler.ask(request, cx).await })
    })
}

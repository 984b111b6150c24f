//! A future in a value that is `Sync`, for `turn.steer(…)` in a spawned task.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::rpc::Lock;

/// A boxed future. The lock is never taken: it makes the future `Sync`.
pub(super) struct SyncFuture<T>(Lock<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> SyncFuture<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Lock::new(Box::pin(future)))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.0.get_mut().as_mut().poll(cx)
    }
}

//! Refreshing tokens: requests for one account that come at once share one run of the handler.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::time::timeout;

use crate::handler::{Erased, HandlerError, RefreshRequest, RequestContext, Tokens};

/// The server waits 10 s.
const LIMIT: Duration = Duration::from_secs(8);

type Flight = Shared<BoxFuture<'static, Result<Tokens, HandlerError>>>;

#[derive(Default)]
pub(super) struct Refresher {
    handler: Option<Erased<RefreshRequest, Tokens>>,
    /// What is under way, by account. A flight is driven by those who wait for it, so it needs no task.
    flights: Mutex<HashMap<Option<String>, Flight>>,
}

impl Refresher {
    pub(super) fn new(handler: Option<Erased<RefreshRequest, Tokens>>) -> Self {
        Self {
            handler,
            flights: Mutex::default(),
        }
    }

    /// New tokens; `None` without a handler.
    pub(super) async fn refresh(
        &self,
        request: RefreshRequest,
        cx: RequestContext,
    ) -> Option<Result<Tokens, HandlerError>> {
        let handler = self.handler.as_ref()?;
        let account = request.previous_account_id.clone();
        let flight = self
            .lock()
            .entry(account.clone())
            .or_insert_with(|| {
                let run = handler(request, cx);
                async move {
                    match timeout(LIMIT, AssertUnwindSafe(run).catch_unwind()).await {
                        Ok(Ok(tokens)) => tokens,
                        Ok(Err(_)) => Err(HandlerError::new("the handler panicked")),
                        Err(_) => Err(HandlerError::new(format!(
                            "no tokens came within {LIMIT:?}"
                        ))),
                    }
                }
                .boxed()
                .shared()
            })
            .clone();
        let tokens = flight.clone().await;
        let mut flights = self.lock();
        if flights.get(&account).is_some_and(|f| f.ptr_eq(&flight)) {
            flights.remove(&account);
        }
        Some(tokens)
    }

    /// Forgets what is under way: nobody is left to drive it.
    pub(super) fn close(&self) {
        let flights = std::mem::take(&mut *self.lock());
        drop(flights); // Foreign code, so not under the lock.
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<String>, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Refreshing tokens: requests for one account that come at once share one run of the handler.
//!
//! The server asks for one thread after the other, so when two threads have expired at once the second one asks just
//! after the first has been answered. New tokens are therefore given out for a little while.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::time::Instant;

use super::guarded::{Cut, guarded};
use crate::{
    handler::{Erased, HandlerError, RefreshRequest, RequestContext, Tokens},
    rpc::Aside,
    time::Rounded,
};

/// The server waits 10 s.
const LIMIT: Duration = Duration::from_secs(8);

/// How long new tokens are given out without asking the handler again.
const FRESH: Duration = Duration::from_secs(3);

type Flight = Shared<BoxFuture<'static, Result<Tokens, HandlerError>>>;

#[derive(Default)]
pub(super) struct Refresher {
    handler: Option<Erased<RefreshRequest, Tokens>>,
    /// What is under way or has just come; one for each account.
    runs: Mutex<Vec<Run>>,
}

/// A run of the handler. It is driven by those who wait for it, so it needs no task.
struct Run {
    account: Option<String>,
    flight: Flight,
    /// When it brought tokens.
    landed: Option<Instant>,
}

impl Refresher {
    pub(super) fn new(handler: Option<Erased<RefreshRequest, Tokens>>) -> Self {
        Self {
            handler,
            runs: Mutex::default(),
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
        // A handler is foreign code, its future too: the one is called, the other dropped, without the lock.
        let handler = handler.clone();
        let new = fly(async move { handler(request, cx).await });
        let (flight, stale) = {
            let mut runs = self.lock();
            let is_stale = |run: &Run| run.landed.is_some_and(|at| at.elapsed() >= FRESH);
            let stale: Vec<_> = runs
                .extract_if(.., |run| run.account == account && is_stale(run))
                .collect();
            let known = runs.iter().find(|run| run.account == account);
            let flight = known.map(|run| run.flight.clone());
            let flight = flight.unwrap_or_else(|| {
                runs.push(Run {
                    account,
                    flight: new.clone(),
                    landed: None,
                });
                new.clone()
            });
            (flight, stale)
        };
        drop((stale, new));
        let tokens = flight.clone().await;
        let mut failed = None;
        let mut runs = self.lock();
        if let Some(at) = runs.iter().position(|run| run.flight.ptr_eq(&flight)) {
            if tokens.is_ok() {
                runs[at].landed.get_or_insert_with(Instant::now);
            } else {
                failed = Some(runs.remove(at));
            }
        }
        drop(runs);
        drop(failed);
        Some(tokens)
    }

    /// Forgets what is under way: nobody is left to drive it.
    pub(super) fn close(&self, aside: &Aside) {
        let runs = std::mem::take(&mut *self.lock());
        aside.let_go(runs);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fly(run: impl Future<Output = Result<Tokens, HandlerError>> + Send + 'static) -> Flight {
    async move {
        match guarded(Some(LIMIT), run).await {
            Ok(tokens) => tokens,
            Err(Cut::Panicked) => Err(HandlerError::new("the handler panicked")),
            Err(Cut::Late) => {
                let text = format!("no tokens came within {}", Rounded(LIMIT));
                Err(HandlerError::new(text))
            }
        }
    }
    .boxed()
    .shared()
}

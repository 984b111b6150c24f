//! Refreshing tokens: concurrent requests for one account share one run of the handler.
//!
//! The server asks for one thread after the other. If two threads expire at once, the second
//! request therefore comes just after the first was answered. So new tokens are handed out again
//! for a short time, but not beyond a login, a logout or any other change of the account.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::time::Instant;

use super::guarded::{HandlerAbort, guarded};
use crate::{
    error::rounded::Rounded,
    handlers::{
        auth::{ChatgptTokens, RefreshRequest},
        context::RequestContext,
        error::HandlerError,
        user_code::Handler,
    },
    rpc::{Aside, Lock},
};

/// The limit of the handler. The server waits 10 s.
const LIMIT: Duration = Duration::from_secs(8);

/// How long new tokens are handed out without calling the handler again.
const FRESH: Duration = Duration::from_secs(3);

type Flight = Shared<BoxFuture<'static, Result<ChatgptTokens, HandlerError>>>;

#[derive(Default)]
pub(super) struct Refresher {
    handler: Option<Handler<RefreshRequest, ChatgptTokens>>,
    /// The runs that are under way or have just ended.
    runs: Lock<Vec<Run>>,
    /// How often the login has changed. A request made after a change never gets the tokens of a
    /// run that began before the change.
    login: AtomicU64,
}

/// A run of the handler. Those who wait for the run drive it, so it needs no task.
struct Run {
    account: Option<String>,
    login: u64,
    flight: Flight,
    /// When the run returned tokens.
    landed: Option<Instant>,
}

impl Refresher {
    pub(super) fn new(handler: Option<Handler<RefreshRequest, ChatgptTokens>>) -> Self {
        Self {
            handler,
            runs: Lock::default(),
            login: AtomicU64::new(0),
        }
    }

    /// Returns new tokens; `None` without a handler.
    pub(super) async fn refresh(
        &self,
        request: RefreshRequest,
        cx: RequestContext,
    ) -> Option<Result<ChatgptTokens, HandlerError>> {
        let handler = self.handler.as_ref()?;
        let account = request.previous_account_id.clone();
        let login = self.login.load(Ordering::Acquire);
        // A handler and its future are foreign code: the handler is called, and the future dropped,
        // without the lock.
        let handler = handler.clone();
        let new = fly(async move { handler.ask(request, cx).await });
        let (flight, dropped) = {
            let mut runs = self.runs.lock();
            let good = |run: &mut Run| {
                let stale = run.landed.is_some_and(|at| at.elapsed() >= FRESH);
                run.account == account && run.login == login && !stale
            };
            // One account is in use at a time, so tokens for any other account are no longer
            // needed.
            let good: Vec<Run> = runs.extract_if(.., good).collect();
            let dropped = std::mem::replace(&mut *runs, good);
            let known = runs.first().map(|run| run.flight.clone());
            let flight = known.unwrap_or_else(|| {
                runs.push(Run {
                    account,
                    login,
                    flight: new.clone(),
                    landed: None,
                });
                new.clone()
            });
            (flight, dropped)
        };
        drop((dropped, new));
        let tokens = flight.clone().await;
        let mut failed = None;
        let mut runs = self.runs.lock();
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

    /// Records that the login changes or may have changed. Never waits, so the reader can call it.
    pub(super) fn login_changed(&self) {
        self.login.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets the runs under way: nobody is left to drive them.
    pub(super) fn close(&self, aside: &Aside) {
        let runs = std::mem::take(&mut *self.runs.lock());
        aside.let_go(runs);
    }
}

fn fly(run: impl Future<Output = Result<ChatgptTokens, HandlerError>> + Send + 'static) -> Flight {
    async move {
        match guarded(Some(LIMIT), run).await {
            Ok(tokens) => tokens,
            Err(HandlerAbort::Panicked) => Err(HandlerError::new("the handler panicked")),
            Err(HandlerAbort::TimedOut) => {
                let text = format!("no tokens came within {}", Rounded(LIMIT));
                Err(HandlerError::new(text))
            }
        }
    }
    .boxed()
    .shared()
}

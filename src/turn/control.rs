//! Steering and interrupting, from any task. The races of the protocol are dealt with here and nowhere else.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::{
    Input, Thread,
    error::{Error, RpcErrorKind},
    protocol::TurnStatus,
    rpc::Incoming,
    tracker::{Phase, Watch},
};

/// Steers and interrupts one turn. Clones are for the same turn; they don't keep it from being interrupted when its
/// [`Turn`](crate::Turn) is dropped.
#[derive(Debug, Clone)]
pub struct TurnControl {
    thread: Thread,
    watch: Arc<Watch>,
}

/// How long an accepted turn may take to say that it has started. It follows the answer by milliseconds.
const START: Duration = Duration::from_secs(10);

impl TurnControl {
    pub(super) fn new(thread: Thread, watch: Watch) -> Self {
        Self {
            thread,
            watch: Arc::new(watch),
        }
    }

    /// The id of the turn.
    #[must_use]
    pub fn turn_id(&self) -> &str {
        &self.watch.turn
    }

    /// The thread it runs on.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// `turn/steer`: adds input to the turn, once it has started.
    ///
    /// # Errors
    /// [`Error::Rpc`] of kind `NoActiveTurn` if it has ended, `NotSteerable` if it is of a kind that takes no input.
    pub async fn steer(&self, input: impl Into<Input>) -> Result<(), Error> {
        let deadline = Instant::now() + self.thread.client().request_timeout();
        self.started(deadline).await;
        let params = json!({
            "threadId": self.thread.id(),
            "expectedTurnId": self.turn_id(),
            "input": input.into().into_value(),
        });
        self.call("turn/steer", &params, deadline).await
    }

    /// `turn/interrupt`: ends the turn. Returns how it ended in fact, which may be well if it was just finishing.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the server doesn't act on it, [`Error::Closed`] if the connection ends.
    pub async fn interrupt(&self) -> Result<TurnStatus, Error> {
        const METHOD: &str = "turn/interrupt";
        let within = self.thread.client().request_timeout();
        let deadline = Instant::now() + within;
        // The server refuses an interrupt of a turn that has not started, and then carries the turn out.
        self.started(deadline).await;
        let mut turn = self.turn_id().to_owned();
        loop {
            match self.phase() {
                Phase::Ended(message) => return Ok(status(&message)),
                Phase::Lost => return Err(self.lost()),
                Phase::Accepted | Phase::Started => {}
            }
            let params = json!({"threadId": self.thread.id(), "turnId": turn});
            let Err(error) = self.call(METHOD, &params, deadline).await else {
                return self.end(deadline, within).await;
            };
            match error.rpc_kind() {
                // Old servers answer `turn/start` with an id that is not the one of the turn that runs.
                Some(RpcErrorKind::TurnMismatch { actual, .. })
                    if turn == self.turn_id() && actual != turn =>
                {
                    turn = actual;
                }
                // It has ended, and the reader has seen that before this refusal; or the server is between the two.
                Some(RpcErrorKind::NoActiveTurn) => {
                    let _ = timeout_at(deadline.min(Instant::now() + RETRY), self.ended()).await;
                }
                _ => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout {
                    method: METHOD.to_owned(),
                    after: within,
                });
            }
        }
    }

    async fn call(
        &self,
        method: &str,
        params: &serde_json::Value,
        deadline: Instant,
    ) -> Result<(), Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.thread
            .client()
            .send(method, &params.to_string(), Some(left), true, None)
            .await
            .map(drop)
    }

    fn phase(&self) -> Phase {
        self.watch.phase.borrow().clone()
    }

    /// Waits, for a bounded time, until the turn has started or is over.
    async fn started(&self, deadline: Instant) {
        let mut phase = self.watch.phase.clone();
        let started = phase.wait_for(|p| !matches!(p, Phase::Accepted));
        let _ = timeout_at(deadline.min(Instant::now() + START), started).await;
    }

    async fn ended(&self) -> Option<Incoming> {
        let mut phase = self.watch.phase.clone();
        let end = phase
            .wait_for(|p| matches!(p, Phase::Ended(_) | Phase::Lost))
            .await
            .ok()?;
        match &*end {
            Phase::Ended(message) => Some(message.clone()),
            _ => None,
        }
    }

    fn lost(&self) -> Error {
        match self.thread.client().close_reason() {
            Some(reason) => Error::Closed(reason),
            None => Error::Invalid(format!("thread {} was closed", self.thread.id())),
        }
    }

    async fn end(&self, deadline: Instant, within: Duration) -> Result<TurnStatus, Error> {
        match timeout_at(deadline, self.ended()).await {
            Ok(Some(message)) => Ok(status(&message)),
            Ok(None) => Err(self.lost()),
            Err(_) => Err(Error::Timeout {
                method: "turn/completed".to_owned(),
                after: within,
            }),
        }
    }
}

/// The pause before an interrupt is tried again.
const RETRY: Duration = Duration::from_millis(20);

fn status(message: &Incoming) -> TurnStatus {
    #[derive(Deserialize)]
    struct Completed {
        turn: End,
    }
    #[derive(Deserialize)]
    struct End {
        status: TurnStatus,
    }
    serde_json::from_str::<Completed>(message.parts().params().unwrap_or_default())
        .map_or(TurnStatus::Completed, |c| c.turn.status)
}

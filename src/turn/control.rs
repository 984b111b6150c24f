//! Steering and interrupting, from any task. The races of the protocol are dealt with here and nowhere else.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{
    reconcile::{self, Verdict},
    watchdog::REST,
};
use crate::{
    Input, Thread,
    error::{Error, RpcErrorKind},
    protocol::TurnStatus,
    tracker::{Phase, Role, Seat},
};

/// Steers and interrupts one turn. Clones are for the same turn; they don't keep it from being interrupted when its
/// [`Turn`](crate::Turn) is dropped.
#[derive(Debug, Clone)]
pub struct TurnControl {
    thread: Thread,
    seat: Arc<Seat>,
}

/// How long an accepted turn may take to say that it has started. It follows the answer by milliseconds.
const START: Duration = Duration::from_secs(10);
/// The pause before an interrupt is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// How often an interrupt is refused before the server is asked how the turn stands.
const REFUSALS: u32 = 10;

impl TurnControl {
    pub(super) fn new(thread: Thread, seat: Seat) -> Self {
        Self {
            thread,
            seat: Arc::new(seat),
        }
    }

    pub(crate) fn of(thread: &Thread, turn: &str) -> Self {
        let seat = thread
            .client()
            .tracker()
            .seat(thread.id(), turn, Role::Control);
        Self::new(thread.clone(), seat)
    }

    /// The id of the turn.
    #[must_use]
    pub fn turn_id(&self) -> &str {
        &self.seat.turn
    }

    /// The thread it runs on.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// `turn/steer`: adds input to the turn, once it has started.
    ///
    /// # Errors
    /// [`Error::Rpc`] of kind `NoActiveTurn` or `TurnMismatch` if it has ended, `NotSteerable` if it is a review or a
    /// compaction, which take no input.
    pub async fn steer(&self, input: impl Into<Input>) -> Result<(), Error> {
        let deadline = Instant::now() + self.thread.client().request_timeout();
        self.started(deadline).await;
        self.steer_now(&input.into(), deadline).await
    }

    /// Without waiting for the start: steering is taken before that, too.
    pub(crate) async fn steer_now(&self, input: &Input, deadline: Instant) -> Result<(), Error> {
        let turn = self.turn_id();
        let params = json!({
            "threadId": self.thread.id(),
            "expectedTurnId": turn,
            "input": input.as_value(),
        });
        self.call("turn/steer", &params, deadline).await
    }

    /// `turn/interrupt`: ends the turn. Returns how it ended in fact, which may be well if it was just finishing.
    ///
    /// It waits for the turn to have started, follows the server where that calls the turn by another name, tries again
    /// where it is refused, and asks the server for the real state where that goes on.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the server doesn't act on it, [`Error::Closed`] if the connection ends,
    /// [`Error::NotFollowed`] if the thread is closed.
    pub async fn interrupt(&self) -> Result<TurnStatus, Error> {
        const METHOD: &str = "turn/interrupt";
        let within = self.thread.client().request_timeout();
        let deadline = Instant::now() + within;
        let tracker = self.thread.client().tracker();
        // The server refuses an interrupt of a turn that has not started, and then carries the turn out.
        self.started(deadline).await;
        let mut named = None;
        for refusals in 1.. {
            match self.seat.phase() {
                Phase::Ended(status) => return Ok(status),
                Phase::Lost => return Err(self.lost()),
                Phase::Accepted | Phase::Started => {}
            }
            let turn = named
                .clone()
                .unwrap_or_else(|| tracker.alias(self.thread.id(), self.turn_id()));
            let params = json!({"threadId": self.thread.id(), "turnId": turn});
            let Err(error) = self.call(METHOD, &params, deadline).await else {
                break;
            };
            match error.rpc_kind() {
                // Old servers answer `turn/start` with an id that is not the one of the turn that runs. But a turn that
                // is known here is another one, and this one has ended.
                Some(RpcErrorKind::TurnMismatch { actual, .. })
                    if named.is_none() && !tracker.knows(self.thread.id(), &actual) =>
                {
                    named = Some(actual);
                    continue;
                }
                Some(
                    RpcErrorKind::NoActiveTurn
                    | RpcErrorKind::TurnMismatch { .. }
                    | RpcErrorKind::Overloaded,
                ) => {}
                _ => return Err(error),
            }
            // It has ended, and the reader has seen that before this refusal; or the server is between the two.
            let _ = timeout_at(deadline.min(Instant::now() + RETRY), self.over()).await;
            if refusals % REFUSALS == 0
                && let Some(status) = self.ask().await
            {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout {
                    method: METHOD.to_owned(),
                    after: within,
                });
            }
        }
        self.end(deadline, within).await
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

    /// Waits, for a bounded time, until the turn has started or is over.
    async fn started(&self, deadline: Instant) {
        let mut phase = self.seat.phase.clone();
        let started = phase.wait_for(|p| *p != Phase::Accepted);
        let _ = timeout_at(deadline.min(Instant::now() + START), started).await;
    }

    async fn over(&self) -> Phase {
        let mut phase = self.seat.phase.clone();
        // The sender lives as long as the seat.
        phase
            .wait_for(Phase::is_over)
            .await
            .map_or(Phase::Lost, |phase| phase.clone())
    }

    /// How the turn has ended, if the server knows that it has.
    async fn ask(&self) -> Option<TurnStatus> {
        let status = match reconcile::verdict(&self.thread, self.turn_id()).await {
            Verdict::Over(record) => record.end?.status,
            Verdict::Running | Verdict::Idle | Verdict::Unknown(_) => return None,
        };
        let tracker = self.thread.client().tracker();
        tracker.recovered(self.thread.id(), self.turn_id(), &status);
        Some(status)
    }

    fn lost(&self) -> Error {
        match self.thread.client().close_reason() {
            Some(reason) => Error::Closed(reason),
            None => Error::NotFollowed {
                thread_id: self.thread.id().to_owned(),
            },
        }
    }

    /// The interrupt was accepted; the end follows.
    async fn end(&self, deadline: Instant, within: Duration) -> Result<TurnStatus, Error> {
        loop {
            let patience = deadline.min(Instant::now() + REST);
            match timeout_at(patience, self.over()).await {
                Ok(Phase::Ended(status)) => return Ok(status),
                Ok(_) => return Err(self.lost()),
                Err(_) => {}
            }
            if let Some(status) = self.ask().await {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout {
                    method: "turn/completed".to_owned(),
                    after: within,
                });
            }
        }
    }
}

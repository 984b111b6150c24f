//! Steering and interrupting, from any task. The races of the protocol are handled here and nowhere
//! else.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use super::{
    message_id::message_id,
    reconcile::{self, Verdict},
    watchdog::REST,
};
use crate::{
    client::{
        time,
        tracker::{GuardRole, Phase, TurnGuard},
    },
    error::{Error, RpcErrorKind},
    protocol::{Call, TurnInterruptParams, TurnStatus, TurnSteerParams},
    thread::{Input, Thread},
};

/// A handle that steers and interrupts one turn. Clones control the same turn. A handle doesn't
/// keep the turn from being interrupted when its [`Turn`](crate::Turn) is dropped.
#[derive(Debug, Clone)]
pub struct TurnControl {
    thread: Thread,
    guard: Arc<TurnGuard>,
}

/// The pause before an interrupt is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// The number of refused interrupts after which the server is asked for the status of the turn.
const REFUSALS: u32 = 10;

impl TurnControl {
    pub(super) fn new(thread: Thread, guard: TurnGuard) -> Self {
        Self {
            thread,
            guard: Arc::new(guard),
        }
    }

    pub(crate) fn of(thread: &Thread, turn: &str) -> Self {
        let guard = thread
            .client()
            .tracker()
            .guard(thread.id(), turn, GuardRole::Control);
        Self::new(thread.clone(), guard)
    }

    /// The id of the turn.
    #[must_use]
    pub fn turn_id(&self) -> &str {
        &self.guard.turn
    }

    /// The thread that the turn runs on.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// `turn/steer`: adds input to the turn, once the turn has started. The request has the
    /// deadline of [urgent](crate::Builder::urgent_timeout) requests.
    ///
    /// # Errors
    /// [`Error::Rpc`] of kind `NoActiveTurn` or `TurnMismatch` if the turn has ended, and of kind
    /// `NotSteerable` if the turn is a review or a compaction, which take no input.
    pub async fn steer(&self, input: impl Into<Input>) -> Result<(), Error> {
        let within = self.thread.client().urgent_timeout();
        let deadline = time::deadline(within);
        self.started(within).await;
        let left = deadline.saturating_duration_since(Instant::now());
        let steered = self.steer_now(input.into(), left).await;
        steered.map_err(|error| error.within(within))
    }

    /// Steers without waiting for the start: the server takes input before the start, too.
    pub(crate) async fn steer_now(&self, input: Input, within: Duration) -> Result<(), Error> {
        let params = TurnSteerParams::new(self.thread.id(), self.turn_id(), input)
            .client_user_message_id(message_id());
        self.urgent(params, within).await
    }

    /// `turn/interrupt`: ends the turn. Returns the status with which the turn actually ended; the
    /// turn may have completed if it was just finishing.
    ///
    /// The commands of the turn that still run end with the turn
    /// (`thread/backgroundTerminals/terminate`, which needs the experimental API). The commands
    /// that an earlier turn has left running go on. [`Thread::stop_all`] ends all of them.
    ///
    /// `interrupt` waits until the turn has started. It follows the server to another id of the
    /// turn, tries again if the server refuses, and asks the server for the status of the turn if
    /// the refusals go on. The request has the deadline of [urgent](crate::Builder::urgent_timeout)
    /// requests. Once the server has accepted it, the turn may take up to the builder's
    /// [`request_timeout`](crate::Builder::request_timeout) to end.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the server doesn't act on the request, [`Error::NotSent`] if the
    /// request could not be sent, [`Error::Closed`] if the connection ends, [`Error::NotFollowed`]
    /// if the thread is closed.
    pub async fn interrupt(&self) -> Result<TurnStatus, Error> {
        let status = self.interrupt_turn().await?;
        if status == TurnStatus::Interrupted {
            self.end_shells().await;
        }
        Ok(status)
    }

    async fn interrupt_turn(&self) -> Result<TurnStatus, Error> {
        const METHOD: &str = TurnInterruptParams::METHOD;
        let client = self.thread.client();
        let within = client.urgent_timeout();
        let (deadline, end) = (
            time::deadline(within),
            time::deadline(client.request_timeout()),
        );
        let tracker = client.tracker();
        // The server refuses an interrupt of a turn that has not started, and then carries the turn
        // out.
        self.started(within).await;
        let mut named = None;
        for refusals in 1.. {
            match self.guard.phase() {
                Phase::Ended(status) => return Ok(status),
                Phase::Lost => return Err(self.lost()),
                Phase::Accepted | Phase::Started => {}
            }
            let turn = named
                .clone()
                .unwrap_or_else(|| tracker.server_id(self.thread.id(), self.turn_id()));
            let params = TurnInterruptParams::new(self.thread.id(), turn);
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(error) = self.urgent(params, left).await else {
                break;
            };
            match error.rpc_kind() {
                // Old servers answer `turn/start` with an id that is not the id of the running
                // turn. But a turn that is known here is another turn, and this turn has ended.
                Some(RpcErrorKind::TurnMismatch { actual, .. })
                    if named.is_none() && !tracker.holds(self.thread.id(), &actual) =>
                {
                    named = Some(actual);
                    continue;
                }
                Some(
                    RpcErrorKind::NoActiveTurn
                    | RpcErrorKind::TurnMismatch { .. }
                    | RpcErrorKind::Overloaded,
                ) => {}
                _ => return Err(error.within(within)),
            }
            // Either the turn has ended, and the reader has seen the end before this refusal; or
            // the server is between the two.
            let _ = timeout_at(deadline.min(Instant::now() + RETRY), self.over()).await;
            if refusals % REFUSALS == 0
                && let Some(status) = self.ask().await
            {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Error::timeout(METHOD, within));
            }
        }
        self.end(end, client.request_timeout()).await
    }

    /// Ends the commands of the turn that still run. The turn is over either way, so a failure is
    /// only traced.
    async fn end_shells(&self) {
        let (thread, client) = (&self.thread, self.thread.client());
        let commands = client.tracker().commands(thread.id(), self.turn_id());
        if commands.is_empty() || !client.experimental_api() {
            return;
        }
        let terminals = match thread.terminals().await {
            Ok(terminals) => terminals,
            Err(error) => {
                tracing::debug!(thread = thread.id(), %error, "the shells of a turn can't be listed");
                return;
            }
        };
        for terminal in terminals
            .iter()
            .filter(|t| commands.iter().any(|item| item == t.item_id()))
        {
            if let Err(error) = terminal.terminate().await {
                tracing::debug!(thread = thread.id(), %error, "a shell of a turn can't be ended");
            }
        }
    }

    /// Sends a request whose result carries no information.
    async fn urgent<C: Call>(&self, params: C, within: Duration) -> Result<(), Error> {
        let request = self.thread.client().request(params);
        request.urgent().timeout(within).raw().await.map(drop)
    }

    /// Waits until the turn has started, which follows the response by milliseconds, or is over.
    /// The wait takes at most half of the available time, since the server may still take the
    /// request for a turn whose start it does not report.
    async fn started(&self, within: Duration) {
        let mut phase = self.guard.phase.clone();
        let started = phase.wait_for(|p| *p != Phase::Accepted);
        let _ = timeout(within / 2, started).await;
    }

    async fn over(&self) -> Phase {
        let mut phase = self.guard.phase.clone();
        // The sender lives as long as the guard.
        phase
            .wait_for(Phase::is_over)
            .await
            .map_or(Phase::Lost, |phase| phase.clone())
    }

    /// The status with which the turn has ended, if the server knows that it has.
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

    /// Waits for the end of the turn, after the server has accepted the interrupt.
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
                return Err(Error::timeout("turn/completed", within));
            }
        }
    }
}

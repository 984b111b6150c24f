//! A limit to how long a turn may take, and what to do when it is reached.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout_at};

use super::{
    Turn, TurnError, TurnErrorKind, TurnOutcome,
    reconcile::{self, Verdict},
};
use crate::{Input, error::Error};

/// How long a turn may take, and what is tried before it fails; see [`Turn::finish_by`].
///
/// ```
/// use std::time::Duration;
/// let deadline = cas_sdk::Deadline::after(Duration::from_secs(300))
///     .steer("Time is up: say what you have found so far.")
///     .grace(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
#[must_use = "a deadline does nothing until it is given to `finish_by`"]
pub struct Deadline {
    after: Duration,
    steer: Option<Input>,
    grace: Duration,
}

impl Deadline {
    /// Expires this long after [`Turn::finish_by`] is called with it, however long the turn has run by then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cas_sdk::Deadline;
    /// let deadline = Deadline::after(Duration::from_secs(60)); // Nothing runs yet.
    /// # async fn run(turn: cas_sdk::Turn, deadline: Deadline) -> Result<(), cas_sdk::Error> {
    /// let outcome = turn.finish_by(deadline).await?; // The minute begins here.
    /// # Ok(()) }
    /// ```
    pub fn after(after: Duration) -> Self {
        Self {
            after,
            steer: None,
            grace: Duration::ZERO,
        }
    }

    /// When it is reached, steers the turn with this, so that it may come to an end by itself within the grace period:
    /// 30 s unless [`grace`](Self::grace) says otherwise.
    pub fn steer(mut self, input: impl Into<Input>) -> Self {
        self.steer = Some(input.into());
        if self.grace.is_zero() {
            self.grace = Duration::from_secs(30);
        }
        self
    }

    /// How long the turn may go on after the deadline before it fails. Default: not at all without a steer.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Turn {
    /// Waits for the end, but not for ever. At the deadline the turn is steered, if the deadline says so, and given its
    /// grace period; then the server is asked whether the turn has ended without that having been told, for 5 s at most if
    /// the server does not answer. Only then it fails, and is interrupted, as a turn that is dropped is.
    ///
    /// # Errors
    /// As of [`finish`](Self::finish), and [`TurnErrorKind::DeadlinePassed`] with everything that was collected.
    pub async fn finish_by(mut self, deadline: Deadline) -> Result<TurnOutcome, Error> {
        let Deadline {
            after,
            steer,
            grace,
        } = deadline;
        let begun = Instant::now();
        let at = |after: Duration| begun.checked_add(after);
        if let Some(end) = self.until(at(after)).await {
            return end;
        }
        if let Some(input) = steer {
            let control = self.control();
            let end = at(after.saturating_add(grace));
            // While it is being steered it is read on, since what it says meanwhile may be its end.
            let ended = match select(pin!(control.steer(input)), pin!(self.until(end))).await {
                Either::Left((steered, until)) => {
                    if let Err(error) = steered {
                        // It takes no input, or is just ending; the grace period shows which.
                        let turn = control.turn_id();
                        tracing::debug!(target: "cas_sdk", turn, %error, "the turn was not steered at its deadline");
                    }
                    until.await
                }
                Either::Right((ended, _)) => ended,
            };
            if let Some(end) = ended {
                return end;
            }
        } else if !grace.is_zero()
            && let Some(end) = self.until(at(after.saturating_add(grace))).await
        {
            return end;
        }
        if let Some(end) = self.reconciled().await {
            return end;
        }
        Err(Error::from(TurnError {
            kind: TurnErrorKind::DeadlinePassed { after },
            outcome: self.so_far(),
        }))
    }

    /// Asks the server at once whether the turn is over; its end if it is.
    async fn reconciled(&mut self) -> Option<Result<TurnOutcome, Error>> {
        if !self.ended {
            let verdict = reconcile::verdict(self.thread(), self.id()).await;
            // What was told meanwhile counts more than what is on record.
            if let Some(end) = self.until(Some(Instant::now())).await {
                return Some(end);
            }
            match verdict {
                Verdict::Over(record) => self.recover(record),
                // It had its time to come to an end that is told.
                Verdict::Idle => self.conclude(),
                Verdict::Running | Verdict::Unknown(_) => return None,
            }
            self.ended = true;
        }
        Some(self.outcome().into_result().map_err(Error::from))
    }

    /// The end if it comes by then.
    async fn until(&mut self, at: Option<Instant>) -> Option<Result<TurnOutcome, Error>> {
        match at {
            Some(at) => timeout_at(at, self.ended()).await.ok(),
            None => Some(self.ended().await),
        }
    }
}

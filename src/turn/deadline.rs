//! A time limit of a turn, and what is tried before the turn fails.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{control::TurnControl, sync_future::SyncFuture};
use crate::{error::Error, thread::Input};

/// A time limit of a turn, and what is tried before the turn fails; see
/// [`Ask::deadline`](crate::turn::Ask::deadline).
///
/// ```
/// use std::time::Duration;
/// let deadline = cas_sdk::turn::Deadline::after(Duration::from_secs(300))
///     .steer("Time is up: say what you have found so far.")
///     .grace(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
#[must_use = "a deadline does nothing until it is given to `Ask::deadline`"]
pub struct Deadline {
    after: Duration,
    steer: Option<Input>,
    grace: Duration,
}

impl Deadline {
    /// Expires this long after the turn starts.
    pub fn after(after: Duration) -> Self {
        Self {
            after,
            steer: None,
            grace: Duration::ZERO,
        }
    }

    /// Steers the turn with this input at the deadline, so that the turn may come to an end by
    /// itself within the grace period. The grace period is 30 s unless [`grace`](Self::grace) is
    /// set.
    pub fn steer(mut self, input: impl Into<Input>) -> Self {
        self.steer = Some(input.into());
        if self.grace.is_zero() {
            self.grace = Duration::from_secs(30);
        }
        self
    }

    /// Sets how long the turn may go on after the deadline before the turn fails. Default: zero
    /// without a steer.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// The deadline of a running turn.
pub(super) struct Expiry {
    deadline: Deadline,
    begun: Instant,
    stage: Stage,
    timer: Option<Pin<Box<Sleep>>>,
    steering: Option<SyncFuture<Result<(), Error>>>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    InTime,
    Grace,
    Passed,
}

impl Expiry {
    /// Starts the time of the deadline.
    pub(super) fn new(deadline: Deadline) -> Self {
        Self {
            deadline,
            begun: Instant::now(),
            stage: Stage::InTime,
            timer: None,
            steering: None,
        }
    }

    pub(super) fn after(&self) -> Duration {
        self.deadline.after
    }

    /// Steers the turn at the deadline. Returns `true` once the grace period has passed too.
    pub(super) fn poll(&mut self, control: &TurnControl, cx: &mut Context<'_>) -> bool {
        loop {
            self.poll_steering(control, cx);
            let after = match self.stage {
                Stage::InTime => self.deadline.after,
                Stage::Grace => self.deadline.after.saturating_add(self.deadline.grace),
                Stage::Passed => return true,
            };
            let Some(due) = self.begun.checked_add(after) else {
                return false; // Nobody lives to see it.
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            // A flood of events uses up the task's budget, and without budget a timer is never
            // ready.
            if timer.as_mut().poll(cx).is_pending() && Instant::now() < due {
                return false;
            }
            self.timer = None;
            self.stage = match self.stage {
                Stage::InTime => {
                    self.steering = self.deadline.steer.take().map(|input| {
                        let control = control.clone();
                        SyncFuture::new(async move { control.steer(input).await })
                    });
                    Stage::Grace
                }
                Stage::Grace | Stage::Passed => Stage::Passed,
            };
        }
    }

    fn poll_steering(&mut self, control: &TurnControl, cx: &mut Context<'_>) {
        let Some(steering) = &mut self.steering else {
            return;
        };
        if let Poll::Ready(steered) = steering.poll(cx) {
            self.steering = None;
            if let Err(error) = steered {
                // The turn takes no input, or is just ending; the grace period shows which.
                let turn = control.turn_id();
                tracing::debug!(target: "cas_sdk", turn, %error, "the turn was not steered at its deadline");
            }
        }
    }
}

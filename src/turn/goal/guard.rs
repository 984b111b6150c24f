//! The limits of a goal. The server has none: it starts one turn after the other for as long as the
//! goal is active. So a task enforces the limits, whether the goal is being read or not.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::GoalEnd;
use crate::{
    client::{connection_task::AbortOnDrop, time},
    error::Error,
    events::Events,
    events::Filter,
    protocol::{ThreadGoalStatus, ThreadGoalUpdatedNotification},
    rpc::Lock,
    thread::Thread,
    thread::stop::{interrupt, pause_goal},
};

/// The limits of one goal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) turns: Option<u32>,
    pub(super) tokens: Option<u64>,
    pub(super) time: Option<Duration>,
}

impl Limits {
    fn is_none(&self) -> bool {
        self.turns.is_none() && self.tokens.is_none() && self.time.is_none()
    }
}

/// Why this client ended the goal, if it did.
#[derive(Debug, Clone, Default)]
pub(super) struct Reason(Arc<Lock<Option<GoalEnd>>>);

impl Reason {
    /// Sets the reason, unless there is one: the first reason counts.
    pub(super) fn set(&self, end: GoalEnd) {
        self.0.lock().get_or_insert(end);
    }

    pub(super) fn get(&self) -> Option<GoalEnd> {
        self.0.lock().clone()
    }

    pub(super) fn forget(&self) {
        self.0.lock().take();
    }
}

/// The events that the task listens to; subscribed to before the goal is set.
pub(super) fn listen(thread: &Thread) -> Events {
    let filter = Filter::all()
        .thread(thread.id())
        .method("turn/started")
        .method("thread/goal/updated");
    thread.client().events(filter)
}

/// Starts the task that enforces the limits, if there are any.
pub(super) fn start(
    thread: &Thread,
    events: Events,
    limits: Limits,
    reason: Reason,
) -> Option<AbortOnDrop<()>> {
    if limits.is_none() {
        return None;
    }
    // NB. The task holds a client that keeps the server alive. That does not last for ever: the
    // task ends with the goal, which holds such a client itself.
    let watch = Watch {
        thread: thread.clone(),
        limits,
        reason,
        turns: 0,
    };
    Some(AbortOnDrop(tokio::spawn(watch.run(events))))
}

struct Watch {
    thread: Thread,
    limits: Limits,
    reason: Reason,
    turns: u32,
}

impl Watch {
    async fn run(mut self, mut events: Events) {
        let deadline = self.limits.time.map(time::deadline);
        loop {
            let next = events.next();
            let next = match deadline {
                Some(at) if self.reason.get().is_none() => timeout_at(at, next).await.ok(),
                _ => Some(next.await),
            };
            match next {
                None => self.reach(GoalEnd::TimeLimit, true).await,
                Some(Some(Ok(event))) if event.method() == "turn/started" => {
                    self.turns = self.turns.saturating_add(1);
                    if self.reason.get().is_some() {
                        // The limit was reached just as this turn began.
                        self.interrupt().await;
                    } else if self.limits.turns.is_some_and(|most| self.turns >= most) {
                        // This is the last turn: if the goal is paused now, it ends with this turn,
                        // and no other turn begins.
                        self.reach(GoalEnd::TurnLimit, false).await;
                    }
                }
                Some(Some(Ok(event))) => {
                    let told = event.get::<ThreadGoalUpdatedNotification>();
                    let Some(Ok(told)) = told else { continue };
                    let used = u64::try_from(told.goal.tokens_used).unwrap_or_default();
                    let is_active = told.goal.status == ThreadGoalStatus::Active;
                    if is_active && self.limits.tokens.is_some_and(|most| used > most) {
                        self.reach(GoalEnd::TokenLimit, true).await;
                    }
                }
                Some(Some(Err(Error::Lagged { .. }))) => {}
                Some(Some(Err(_)) | None) => return,
            }
        }
    }

    /// Ends the goal, and with `interrupts` also the running turn.
    async fn reach(&mut self, end: GoalEnd, interrupts: bool) {
        let began = Instant::now();
        self.reason.set(end);
        while let Err(error) = pause_goal(&self.thread).await {
            tracing::warn!(thread = self.thread.id(), %error, "a goal that has reached its limit can't be paused");
            if error.close_reason().is_some() || began.elapsed() > Duration::from_secs(60) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if interrupts {
            self.interrupt().await;
        }
    }

    async fn interrupt(&self) {
        if let Err(error) = interrupt(&self.thread).await {
            tracing::warn!(thread = self.thread.id(), %error, "a turn of a goal that has reached its limit can't be interrupted");
        }
    }
}

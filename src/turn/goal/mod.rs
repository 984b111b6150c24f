//! A goal: one piece of work over many turns, which the server starts by itself.

mod dormancy;
mod event;
mod guard;
mod poll;
mod set;

use std::{
    collections::VecDeque,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dormancy::Dormancy;
pub use event::{GoalEnd, GoalEvent, GoalOutcome, GoalState};
use guard::Reason;
pub use set::SetGoal;

use super::reader::Turn;
use crate::error::TurnOutcome;
use crate::{
    client::connection_task::AbortOnDrop,
    error::Error,
    protocol::{
        ThreadGoal, ThreadGoalClearParams, ThreadGoalGetParams, ThreadGoalSetParams,
        ThreadGoalStatus,
    },
    thread::Thread,
    thread::stop::StopReport,
    turn::by_id::Turns,
};

/// How long [`Goal::stop`] waits for the end of the turns.
const GRACE: Duration = Duration::from_secs(10);

/// A goal of a thread, with all turns that run while it is active: a stream of [`GoalEvent`]s that
/// ends with `Ended`. [`Thread::set_goal`] sets a goal; [`Thread::goal`] returns the existing one.
///
/// The goal ends with the end of the turn in which its status left `active`. A goal whose turn was
/// interrupted stays active and does nothing; this is [`GoalEvent::Dormant`].
///
/// A goal from [`Thread::set_goal`] that is dropped before its end is paused and its turn is
/// interrupted, since an agent that nobody watches should not go on. [`detach`](Self::detach) keeps
/// the goal running. Dropping a goal from [`Thread::goal`] leaves it running.
#[must_use = "a goal that is dropped is stopped; use `finish`, or `detach` to let it run"]
pub struct Goal {
    thread: Thread,
    turns: Turns,
    /// The turns that have begun and are not yet read to their end; one, but for a moment.
    running: VecDeque<Turn>,
    /// The events to yield before anything else.
    told: VecDeque<GoalEvent>,
    info: ThreadGoal,
    cleared: Option<GoalEnd>,
    /// The server has reported this very goal; its earlier reports are about the previous goal.
    told_of: bool,
    /// The goal was made active again, and the server has not reported that yet.
    resuming: AtomicBool,
    reason: Reason,
    /// The task that enforces the limits.
    _guard: Option<AbortOnDrop<()>>,
    dormancy: Dormancy,
    count: u64,
    text: String,
    last_turn: Option<TurnOutcome>,
    ended: bool,
    ours: bool,
}

impl Thread {
    /// The goal of this thread, with the turn that runs for the goal. `None` if the thread has no
    /// goal (`thread/goal/get`).
    ///
    /// Dropping the returned goal doesn't stop it. [`Goal::info`] has the status of the goal, also
    /// if the thread is not loaded or the goal is over.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn goal(&self) -> Result<Option<Goal>, Error> {
        let turns = self.turns();
        let params = ThreadGoalGetParams::new(self.id());
        let Some(goal) = self.client().request(params).await?.goal else {
            return Ok(None);
        };
        let is_active = goal.status == ThreadGoalStatus::Active;
        let mut goal = Goal::new(turns, goal, Reason::default(), None, false);
        if is_active && let Some(turn) = self.running_turn().await? {
            goal.turns.seen(turn.id());
            goal.running.push_back(turn);
        }
        Ok(Some(goal))
    }
}

impl Goal {
    fn new(
        turns: Turns,
        info: ThreadGoal,
        reason: Reason,
        guard: Option<AbortOnDrop<()>>,
        ours: bool,
    ) -> Self {
        Self {
            thread: turns.thread().clone(),
            turns,
            running: VecDeque::new(),
            told: VecDeque::new(),
            info,
            cleared: None,
            told_of: !ours,
            resuming: AtomicBool::new(false),
            reason,
            _guard: guard,
            dormancy: Dormancy::default(),
            count: 0,
            text: String::new(),
            last_turn: None,
            ended: false,
            ours,
        }
    }

    /// The thread that works on the goal.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// The goal as the server last reported it: objective, status, tokens used (cached input and
    /// sub-agents not counted), seconds used.
    #[must_use]
    pub fn info(&self) -> &ThreadGoal {
        &self.info
    }

    /// The state of the goal, as far as the goal was read.
    #[must_use]
    pub fn state(&self) -> GoalState {
        match GoalState::from(&self.info.status) {
            _ if self.cleared.is_some() => GoalState::Cleared,
            GoalState::Active if self.dormancy.is_dormant() => GoalState::Dormant,
            state => state,
        }
    }

    /// The running turn, as far as the goal was read.
    #[must_use]
    pub fn turn(&self) -> Option<&Turn> {
        self.running.front()
    }

    /// The next event. `None` after the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Turn`] or [`Error::Closed`] if the connection ends.
    pub async fn next(&mut self) -> Option<Result<GoalEvent, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits until the goal has ended; [`GoalOutcome::end`] says how. A
    /// [dormant](GoalEvent::Dormant) goal is not waited for: its end is [`GoalState::Dormant`], and
    /// a goal from [`Thread::set_goal`] is then paused.
    ///
    /// # Errors
    /// Same errors as [`next`](Self::next).
    pub async fn finish(mut self) -> Result<GoalOutcome, Error> {
        while let Some(event) = self.next().await {
            match event? {
                GoalEvent::Ended(outcome) => return Ok(*outcome),
                GoalEvent::Dormant => {
                    return Ok(self.outcome(GoalEnd::State(GoalState::Dormant)));
                }
                _ => {}
            }
        }
        match self.thread.client().close_reason() {
            Some(reason) => Err(Error::Closed(reason)),
            None => Err(Error::Invalid(format!(
                "the goal of thread {} was already read to its end",
                self.thread.id()
            ))),
        }
    }

    /// Stops the goal: pauses it first, so that no other turn begins, and then does what
    /// [`Thread::stop_all`] does. When `stop` returns, nothing of the goal runs, unless the report
    /// says so.
    pub async fn stop(&self) -> StopReport {
        self.reason.set(GoalEnd::Stopped);
        self.thread.stop_all(GRACE).await
    }

    /// Pauses the goal. The running turn goes on to its end.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn pause(&self) -> Result<(), Error> {
        self.set(|params| params.status(ThreadGoalStatus::Paused))
            .await
    }

    /// Makes the goal active again, after a pause, after a block, or when the goal is dormant. A
    /// goal whose token budget is used up needs a larger budget: [`set_goal`](Thread::set_goal).
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn resume(&self) -> Result<(), Error> {
        self.reason.forget();
        self.resuming.store(true, Ordering::Relaxed);
        let set = self
            .set(|params| params.status(ThreadGoalStatus::Active))
            .await;
        if set.is_err() {
            self.resuming.store(false, Ordering::Relaxed);
        }
        set
    }

    /// Changes the objective. The model learns of the change.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn edit(&self, objective: impl Into<String>) -> Result<(), Error> {
        self.set(|params| params.objective(objective.into())).await
    }

    /// `thread/goal/clear`: removes the goal. The running turn goes on to its end. Returns `false`
    /// if there was no goal.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn clear(&self) -> Result<bool, Error> {
        let params = ThreadGoalClearParams::new(self.thread.id());
        Ok(self.thread.client().request(params).urgent().await?.cleared)
    }

    /// Keeps the goal running without this handle, and without its limits.
    pub fn detach(mut self) {
        self.ours = false;
    }

    async fn set(
        &self,
        change: impl FnOnce(ThreadGoalSetParams) -> ThreadGoalSetParams,
    ) -> Result<(), Error> {
        let params = change(ThreadGoalSetParams::new(self.thread.id()));
        self.thread
            .client()
            .request(params)
            .urgent()
            .await
            .map(drop)
    }

    fn outcome(&self, end: GoalEnd) -> GoalOutcome {
        GoalOutcome {
            end,
            goal: self.info.clone(),
            text: self.text.clone(),
            turns: self.count,
            last_turn: self.last_turn.clone(),
        }
    }
}

impl Drop for Goal {
    fn drop(&mut self) {
        let active = self.info.status == ThreadGoalStatus::Active && self.cleared.is_none();
        if self.ours && !self.ended && (active || !self.running.is_empty()) {
            stop_unwatched(&self.thread);
        }
    }
}

/// Pauses the goal and interrupts the turn, without a task and without waiting.
fn stop_unwatched(thread: &Thread) {
    let (client, id) = (thread.client().weak(), thread.id().to_owned());
    let params = serde_json::json!({"threadId": thread.id(), "status": "paused"}).to_string();
    let interrupt = move |_: &_| {
        let Some(client) = client.upgrade() else {
            return;
        };
        let params = serde_json::json!({"threadId": id, "turnId": ""}).to_string();
        let weak = client.weak();
        let running = client.tracker().running(&id);
        let end_shells = move |_: &_| {
            if let (Some(client), Some(turn)) = (weak.upgrade(), running) {
                client.tracker().end_shells(&id, &turn);
            }
        };
        client
            .connection()
            .send_hooked("turn/interrupt", &params, Box::new(end_shells));
    };
    let connection = thread.client().connection();
    connection.send_hooked("thread/goal/set", &params, Box::new(interrupt));
}

impl fmt::Debug for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goal")
            .field("thread", &self.thread.id())
            .field("status", &self.info.status)
            .field("turns", &self.count)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

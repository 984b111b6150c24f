//! Setting a goal: its objective and its limits.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use super::{
    Goal,
    guard::{self, Limits, Reason},
};
use crate::{
    error::Error,
    protocol::{ThreadGoalClearParams, ThreadGoalGetParams, ThreadGoalSetParams, ThreadGoalStatus},
    thread::Thread,
};

impl Thread {
    /// `thread/goal/set`: sets an objective for the thread. Awaiting the returned value sets the
    /// goal. The server then starts one turn after the other, until the model says that the goal is
    /// reached or blocked, or somebody pauses the goal. The returned [`Goal`] covers all of these
    /// turns.
    ///
    /// The server has no limit except a [token budget](SetGoal::token_budget): a model that only
    /// talks goes on for ever. So set [`max_turns`](SetGoal::max_turns),
    /// [`max_tokens`](SetGoal::max_tokens) or [`max_time`](SetGoal::max_time).
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let goal = thread.set_goal("Make the tests pass").max_turns(20).await?;
    /// let outcome = goal.finish().await?;
    /// println!("{:?} after {} turns: {}", outcome.end, outcome.turns, outcome.text);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if the thread already has an active goal and
    /// [`replace`](SetGoal::replace) was not called; [`Error::NotFollowed`] if this connection
    /// would not see the turns; [`Error::Rpc`] if the thread is ephemeral, the feature `goals` is
    /// off, or the objective is empty or longer than 4,000 characters.
    pub fn set_goal(&self, objective: impl Into<String>) -> SetGoal {
        SetGoal {
            thread: self.clone(),
            objective: objective.into(),
            budget: None,
            limits: Limits::default(),
            replace: false,
        }
    }
}

/// A goal about to be set; see [`Thread::set_goal`].
#[derive(Debug, Clone)]
#[must_use = "a goal is not set until this is awaited"]
pub struct SetGoal {
    thread: Thread,
    objective: String,
    budget: Option<u64>,
    limits: Limits,
    replace: bool,
}

impl SetGoal {
    /// Sets the token budget that the server and the model see. At the budget the model is told to
    /// come to an end, and no further turn starts. The budget does not stop the running turn.
    /// Cached input and sub-agents don't count. Default: no budget.
    pub fn token_budget(mut self, tokens: u64) -> Self {
        self.budget = Some(tokens);
        self
    }

    /// Sets how many turns may begin. The last turn runs to its end. Default: any number.
    pub fn max_turns(mut self, turns: u32) -> Self {
        self.limits.turns = Some(turns);
        self
    }

    /// Sets how many tokens the goal may use before the goal is paused and its turn interrupted.
    /// The server reports the tokens about once a second. Default: any number.
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.limits.tokens = Some(tokens);
        self
    }

    /// Sets how long the goal may take before the goal is paused and its turn interrupted. Default:
    /// any time.
    pub fn max_time(mut self, time: Duration) -> Self {
        self.limits.time = Some(time);
        self
    }

    /// Replaces an active goal, if there is one. A goal that is not active is replaced in any case.
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    async fn set(self) -> Result<Goal, Error> {
        let Self {
            thread,
            objective,
            budget,
            limits,
            replace,
        } = self;
        thread.check_followed()?;
        if limits.turns == Some(0) {
            return Err(Error::Invalid("a goal needs one turn at least".to_owned()));
        }
        let client = thread.client();
        let before = client
            .request(ThreadGoalGetParams::new(thread.id()))
            .await?;
        if let Some(goal) = before.goal {
            if goal.status == ThreadGoalStatus::Active && !replace {
                return Err(Error::Invalid(format!(
                    "thread {} has an active goal: `thread.goal()` gives it, `.replace()` replaces it",
                    thread.id()
                )));
            }
            // Otherwise the new goal would begin with the tokens that the old goal has used.
            client
                .request(ThreadGoalClearParams::new(thread.id()))
                .await?;
        }
        // NB. Subscribe before the goal is set: its first turn may begin before the response is
        // here.
        let turns = thread.turns();
        let events = guard::listen(&thread);
        let mut params = ThreadGoalSetParams::new(thread.id())
            .objective(objective)
            .status(ThreadGoalStatus::Active);
        if let Some(budget) = budget {
            params = params.token_budget(i64::try_from(budget).unwrap_or(i64::MAX));
        }
        let mut stop = StopOnDrop(Some(thread.clone()));
        let set = client.request(params).await;
        if set.as_ref().is_err_and(|error| error.rpc().is_some()) {
            stop.0 = None; // It was not set.
        }
        let goal = set?.goal;
        stop.0 = None;
        let reason = Reason::default();
        let guard = guard::start(&thread, events, limits, reason.clone());
        Ok(Goal::new(turns, goal, reason, guard, true))
    }
}

/// Stops a goal that is set although nobody waits for it any more; it would run for ever.
struct StopOnDrop(Option<Thread>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            super::stop_unwatched(&thread);
        }
    }
}

impl IntoFuture for SetGoal {
    type Output = Result<Goal, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.set())
    }
}

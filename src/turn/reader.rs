//! `Turn`: one reader of a running turn.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, MutexGuard, Weak},
    time::Duration,
};

use super::{
    agents,
    check::Check,
    collect::{Collector, Record},
    control::TurnControl,
    deadline::{Deadline, Expiry},
    event::TurnEvent,
    naming::Naming,
    progress::Progress,
    watchdog::{Watchdog, Why},
};
use crate::error::{SubAgent, TurnFailure, TurnOutcome};
use crate::{
    client::tracker::{GuardRole, Phase, TurnGuard},
    error::{Error, class::ErrorClass},
    protocol::{TurnId, TurnStatus},
    rpc::Lock,
    thread::{Input, Thread},
};

/// The default of [`Ask::idle_check`](crate::turn::Ask::idle_check).
pub(super) const IDLE_CHECK: Duration = Duration::from_secs(60);

/// A turn: a stream of [`TurnEvent`]s that ends with `Completed`. [`Thread::ask`] starts one.
///
/// The stream always ends: with `turn/completed`, with the end of the connection, with its
/// [deadline](crate::turn::Ask::deadline), or, where the server forgets to report the end, by
/// asking the server ([`Ask::idle_check`](crate::turn::Ask::idle_check)). In the last case the
/// outcome is marked as recovered.
///
/// A turn that is dropped before its end is interrupted, since an agent that nobody watches should
/// not go on running commands. [`detach`](Self::detach) keeps the turn running. With several
/// readers ([`follow`](Self::follow)), only dropping the last one interrupts the turn. Dropping a
/// turn that somebody else started leaves it running.
#[must_use = "a turn that is dropped is interrupted; use `finish`, or `detach` to let it run"]
pub struct Turn {
    pub(super) control: TurnControl,
    guard: TurnGuard,
    progress: Arc<Lock<Progress>>,
    /// The events before this reader came.
    pub(super) replay: VecDeque<TurnEvent>,
    pub(super) watchdog: Watchdog,
    pub(super) expiry: Option<Expiry>,
    pub(super) check: Option<Check>,
    /// How often the thread was found at rest without an end of the turn.
    pub(super) rests: u8,
    pub(super) ended: bool,
    joined: bool,
    pub(super) naming: Naming,
}

impl Turn {
    /// The id of the turn.
    #[must_use]
    pub fn id(&self) -> &str {
        self.control.turn_id()
    }

    /// The thread that the turn runs on.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.control.thread()
    }

    /// Whether the input joined a turn that was already running. The server then steers that turn
    /// instead of starting another.
    #[must_use]
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// A handle that steers and interrupts the turn from another task.
    #[must_use]
    pub fn control(&self) -> TurnControl {
        self.control.clone()
    }

    /// Creates another reader of the whole turn: the events so far come first, their pieces joined,
    /// then new events as they come.
    pub fn follow(&self) -> Self {
        self.control.follow()
    }

    /// `turn/steer`: adds input to the turn.
    ///
    /// # Errors
    /// Same errors as [`TurnControl::steer`].
    pub async fn steer(&self, input: impl Into<Input>) -> Result<(), Error> {
        self.control.steer(input).await
    }

    /// `turn/interrupt`: ends the turn. Returns the status with which the turn actually ended; the
    /// turn may have completed if it was just finishing.
    ///
    /// # Errors
    /// Same errors as [`TurnControl::interrupt`].
    pub async fn interrupt(&self) -> Result<TurnStatus, Error> {
        self.control.interrupt().await
    }

    /// The next event. `None` after the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Turn`] if the connection or the thread is closed before the end, or the
    /// [deadline](crate::turn::Ask::deadline) passes. The error has everything that was collected.
    pub async fn next(&mut self) -> Option<Result<TurnEvent, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits for the end of the turn and returns the outcome if the turn completed.
    ///
    /// # Errors
    /// [`Error::Turn`] for a turn that failed, was interrupted, did not end by its deadline or was
    /// cut off by the connection's end. The error has everything that was collected.
    pub async fn finish(mut self) -> Result<TurnOutcome, Error> {
        let mut outcome = self.ended().await?;
        if !outcome.agents.is_empty() {
            outcome.agents = self.agents().await;
        }
        Ok(outcome)
    }

    /// Waits for the end or for an [idle check](crate::turn::Ask::idle_check), whichever comes
    /// first. `None` means that the turn is idle: the turn goes on and can be waited for again.
    /// Cancel safe.
    ///
    /// # Errors
    /// Same errors as [`finish`](Self::finish).
    pub async fn wait(&mut self) -> Result<Option<TurnOutcome>, Error> {
        while let Some(event) = self.next().await {
            match event? {
                TurnEvent::Completed(outcome) => {
                    return outcome.into_result().map(Some).map_err(Error::from);
                }
                TurnEvent::Idle(_) => return Ok(None),
                _ => {}
            }
        }
        self.again().map(Some)
    }

    /// The outcome collected so far. The status is `InProgress` until the end was seen.
    #[must_use]
    pub fn partial_outcome(&self) -> TurnOutcome {
        self.outcome()
    }

    /// The sub-agents that this turn has spawned or given work so far, and the sub-agents of those,
    /// in the order in which they were named. The server is asked for unknown names
    /// (`thread/read`), for 1 s at most.
    pub async fn agents(&self) -> Vec<SubAgent> {
        agents::name(self.thread().client(), &self.known_agents()).await;
        self.known_agents()
    }

    pub(super) fn known_agents(&self) -> Vec<SubAgent> {
        agents::known(self.thread().client(), self.thread().id(), self.id())
    }

    /// Keeps the turn running without this handle.
    #[must_use]
    pub fn detach(self) -> TurnControl {
        self.guard.detach();
        self.control.clone()
    }

    /// Sets when the server is asked about an idle turn; see
    /// [`Ask::idle_check`](crate::turn::Ask::idle_check).
    pub fn set_idle_check(&mut self, after: Duration) {
        self.watchdog.set_idle_check(after);
    }

    /// Sets the deadline of a turn that [`Ask::deadline`](crate::turn::Ask::deadline) did not
    /// start, such as a review. The time of the deadline begins now.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        self.expiry = Some(Expiry::new(deadline));
    }

    async fn ended(&mut self) -> Result<TurnOutcome, Error> {
        loop {
            if let Some(outcome) = self.wait().await? {
                return Ok(outcome);
            }
        }
    }

    /// The outcome for callers that ask after the end.
    fn again(&self) -> Result<TurnOutcome, Error> {
        let outcome = self.outcome();
        if outcome.status == TurnStatus::InProgress {
            let text = format!("turn {} was already read to its end", self.id());
            return Err(Error::Invalid(text));
        }
        outcome.into_result().map_err(Error::from)
    }

    pub(super) fn recover(&self, record: Record) {
        self.settle(|collector| collector.recover(record));
    }

    pub(super) fn conclude(&self) {
        self.settle(Collector::conclude);
    }

    /// Reports the end to those who wait for it elsewhere and could not know it otherwise.
    fn settle(&self, change: impl FnOnce(&mut Collector)) {
        let status = {
            let collector = &mut self.progress().collector;
            change(collector);
            collector.end().map(|end| end.status.clone())
        };
        if let Some(status) = status {
            let tracker = self.thread().client().tracker();
            tracker.recovered(self.thread().id(), self.id(), &status);
        }
    }

    pub(super) fn outcome(&self) -> TurnOutcome {
        let used = self.guard.used();
        let progress = self.progress();
        let collected = &progress.collector;
        let end = collected.end();
        TurnOutcome {
            thread_id: self.thread().id().to_owned(),
            turn_id: self.id().to_owned(),
            status: end.map_or(TurnStatus::InProgress, |end| end.status.clone()),
            text: collected.answer(),
            items: collected.items(),
            usage: used.own,
            usage_with_agents: used.own.map(|own| own + used.agents),
            thread_usage: collected.thread_usage().cloned(),
            duration: end.and_then(|end| end.duration),
            failure: collected
                .failure()
                .cloned()
                .map(|failure| self.dated(failure)),
            recovered: collected.is_recovered(),
            joined: self.joined,
            agents: self.known_agents(),
        }
    }

    /// Adds the time of the reset to a failure that is a rate limit.
    fn dated(&self, mut failure: TurnFailure) -> TurnFailure {
        if matches!(failure.class(), ErrorClass::RateLimited { .. }) {
            failure.resets_at = self.thread().client().tracker().limit_resets_at();
        }
        failure
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock()
    }
}

impl TurnControl {
    /// Creates a reader of the whole turn: the events so far come first, their pieces joined, then
    /// new events as they come. Where no other reader is left that has seen the beginning, the
    /// beginning comes from the server's record, at the end.
    pub fn follow(&self) -> Turn {
        let tracker = self.thread().client().tracker();
        let guard = tracker.guard(self.thread().id(), self.turn_id(), GuardRole::Reader);
        let progress = Progress::shared(&guard)
            .unwrap_or_else(|| Progress::late(self.thread(), self.turn_id()));
        Turn::new(self.clone(), guard, progress, false)
    }
}

impl Turn {
    pub(super) fn new(
        control: TurnControl,
        guard: TurnGuard,
        progress: Progress,
        joined: bool,
    ) -> Self {
        let mut progress = progress;
        let phase = guard.phase();
        let is_open = progress.collector.end().is_none();
        let is_gone = is_open && progress.collector.gaps && phase == Phase::Lost;
        if let (true, Phase::Ended(status)) = (is_open && progress.is_late, phase) {
            // The turn ended before this reader began to listen, so the end will not come.
            progress.collector.ended(status);
        }
        let replay = progress.collector.replay().into();
        let progress = Arc::new(Lock::new(progress));
        let shared: Weak<Lock<Progress>> = Arc::downgrade(&progress);
        guard.share(shared);
        let mut turn = Self {
            control,
            guard,
            progress,
            replay,
            watchdog: Watchdog::new(IDLE_CHECK),
            expiry: None,
            check: None,
            rests: 0,
            ended: false,
            joined,
            naming: Naming::default(),
        };
        if is_gone {
            turn.check(Why::Gone);
        }
        turn
    }
}

impl From<&Turn> for TurnId {
    fn from(turn: &Turn) -> Self {
        turn.id().into()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("thread", &self.thread().id())
            .field("id", &self.id())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

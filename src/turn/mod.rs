//! A running turn: its events as they come, its outcome, and the means to steer and to interrupt it.

mod binding;
mod collect;
mod control;
mod deadline;
mod event;
mod item;
mod poll;
mod progress;
mod reconcile;
pub(crate) mod start;
pub(crate) mod strict_schema;
pub(crate) mod structured;
pub mod terminal;
mod watchdog;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use crate::error::{Item, TokenUsage, TurnError, TurnErrorKind, TurnFailure, TurnOutcome};
use crate::{
    ErrorClass, Input, Thread,
    client::tracker::{Phase, Role, Seat},
    error::Error,
    protocol::TurnStatus,
};
pub(crate) use binding::Binding;
pub use control::TurnControl;
pub use deadline::Deadline;
pub use event::TurnEvent;
pub(crate) use progress::Progress;
use reconcile::Verdict;
use watchdog::{Watchdog, Why};

/// After how long a silence the server is asked how the turn stands, unless told otherwise.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);

/// A turn: a stream of [`TurnEvent`]s that ends with `Completed`. [`Thread::ask`] starts one.
///
/// It always ends: with `turn/completed`, with the end of the connection, or, where the server forgets to say so, by
/// being asked ([`Ask::silence`](crate::Ask::silence)); then the outcome is marked as recovered.
///
/// A turn that is dropped before its end is interrupted, since an agent that nobody watches should not go on running
/// commands; [`detach`](Self::detach) lets it run. Of several readers ([`follow`](Self::follow)) it is the last one that
/// counts, and a turn that somebody else started is let run.
#[must_use = "a turn that is dropped is interrupted; use `finish`, or `detach` to let it run"]
pub struct Turn {
    control: TurnControl,
    seat: Seat,
    progress: Arc<Mutex<Progress>>,
    /// What was before this reader came.
    replay: VecDeque<TurnEvent>,
    watchdog: Watchdog,
    check: Option<Check>,
    /// How often the thread was found at rest without an end of the turn.
    rests: u8,
    ended: bool,
    joined: bool,
}

/// The server is being asked.
struct Check {
    why: Why,
    /// Never locked: it is there to make the turn `Sync`, for `turn.steer(…)` in a spawned task.
    verdict: Mutex<Pin<Box<dyn Future<Output = Verdict> + Send>>>,
    /// What it has said; kept until the events before it are read.
    answer: Option<Verdict>,
}

impl Turn {
    /// The id of the turn.
    #[must_use]
    pub fn id(&self) -> &str {
        self.control.turn_id()
    }

    /// The thread it runs on.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.control.thread()
    }

    /// Whether the input joined a turn that was already running: the server then steers that turn instead of starting
    /// another.
    #[must_use]
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// A handle to steer and to interrupt from another task.
    #[must_use]
    pub fn control(&self) -> TurnControl {
        self.control.clone()
    }

    /// Another reader, with the whole of the turn: what has been comes first, its pieces joined, then the rest as it
    /// comes.
    pub fn follow(&self) -> Self {
        self.control.follow()
    }

    /// `turn/steer`: adds input to the turn.
    ///
    /// # Errors
    /// As of [`TurnControl::steer`].
    pub async fn steer(&self, input: impl Into<Input>) -> Result<(), Error> {
        self.control.steer(input).await
    }

    /// `turn/interrupt`: ends the turn. Returns how it ended in fact, which may be well if it was just finishing.
    ///
    /// # Errors
    /// As of [`TurnControl::interrupt`].
    pub async fn interrupt(&self) -> Result<TurnStatus, Error> {
        self.control.interrupt().await
    }

    /// The next thing that happens. `None` after the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Turn`] if the connection or the thread is closed before the end; everything that was collected is in
    /// it.
    pub async fn next(&mut self) -> Option<Result<TurnEvent, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits for the end and returns the outcome of a turn that completed.
    ///
    /// # Errors
    /// [`Error::Turn`] for one that failed, was interrupted or was cut off by the connection's end; everything that was
    /// collected is in it.
    pub async fn finish(mut self) -> Result<TurnOutcome, Error> {
        self.ended().await
    }

    /// Waits for the end or for a [silence](crate::Ask::silence), whichever comes first: `None` is a silence, and the
    /// turn goes on and can be waited for again. Cancel safe.
    ///
    /// # Errors
    /// As of [`finish`](Self::finish).
    pub async fn wait(&mut self) -> Result<Option<TurnOutcome>, Error> {
        while let Some(event) = self.next().await {
            match event? {
                TurnEvent::Completed(outcome) => {
                    return outcome.into_result().map(Some).map_err(Error::from);
                }
                TurnEvent::Silent(_) => return Ok(None),
                _ => {}
            }
        }
        self.again().map(Some)
    }

    /// What there is of the outcome so far; the status is `InProgress` until the end was seen.
    #[must_use]
    pub fn so_far(&self) -> TurnOutcome {
        self.outcome()
    }

    /// Lets the turn run without this handle.
    #[must_use]
    pub fn detach(self) -> TurnControl {
        self.seat.detach();
        self.control.clone()
    }

    /// After how long a silence the server is asked how the turn stands; see [`Ask::silence`](crate::Ask::silence).
    pub fn set_silence(&mut self, silence: Duration) {
        self.watchdog.set_silence(silence);
    }

    async fn ended(&mut self) -> Result<TurnOutcome, Error> {
        loop {
            if let Some(outcome) = self.wait().await? {
                return Ok(outcome);
            }
        }
    }

    /// The outcome for those who ask after the end.
    fn again(&self) -> Result<TurnOutcome, Error> {
        let outcome = self.outcome();
        if outcome.status == TurnStatus::InProgress {
            let text = format!("turn {} was already read to its end", self.id());
            return Err(Error::Invalid(text));
        }
        outcome.into_result().map_err(Error::from)
    }

    fn recover(&self, record: collect::Record) {
        let status = {
            let mut progress = self.progress();
            progress.collector.recover(record);
            progress.collector.end().map(|end| end.status.clone())
        };
        self.tell(status);
    }

    fn conclude(&self) {
        let status = {
            let mut progress = self.progress();
            progress.collector.conclude();
            progress.collector.end().map(|end| end.status.clone())
        };
        self.tell(status);
    }

    /// Those who wait for the end elsewhere can't know otherwise.
    fn tell(&self, status: Option<TurnStatus>) {
        if let Some(status) = status {
            let tracker = self.thread().client().tracker();
            tracker.recovered(self.thread().id(), self.id(), &status);
        }
    }

    fn outcome(&self) -> TurnOutcome {
        let used = self.seat.used();
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
        }
    }

    /// A failure that is a limit, with the time of its reset.
    fn dated(&self, mut failure: TurnFailure) -> TurnFailure {
        if matches!(failure.class(), ErrorClass::RateLimited { .. }) {
            failure.resets_at = self.thread().client().tracker().limit_resets_at();
        }
        failure
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TurnControl {
    /// A reader of the turn, with the whole of it: what has been comes first, its pieces joined, then the rest as it
    /// comes. Where no other reader is left that has seen it, the beginning comes from the server's record, at the end.
    pub fn follow(&self) -> Turn {
        let tracker = self.thread().client().tracker();
        let seat = tracker.seat(self.thread().id(), self.turn_id(), Role::Reader);
        let progress = Progress::shared(&seat)
            .unwrap_or_else(|| Progress::late(self.thread(), self.turn_id()));
        Turn::new(self.clone(), seat, progress, false)
    }
}

impl Turn {
    fn new(control: TurnControl, seat: Seat, progress: Progress, joined: bool) -> Self {
        let mut progress = progress;
        let phase = seat.phase();
        let over = progress.collector.gaps && progress.collector.end().is_none() && phase.is_over();
        if let (true, Phase::Ended(status)) = (over, &phase) {
            // It ended before this began to listen, so the end will not come.
            progress.collector.ended(status.clone());
        }
        let replay = progress.collector.replay().into();
        let progress = Arc::new(Mutex::new(progress));
        seat.share(&progress);
        let mut turn = Self {
            control,
            seat,
            progress,
            replay,
            watchdog: Watchdog::new(SILENCE),
            check: None,
            rests: 0,
            ended: false,
            joined,
        };
        if over && phase == Phase::Lost {
            turn.check(Why::Gone);
        }
        turn
    }
}

impl std::fmt::Debug for Turn {
    #[inline]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("thread", &self.thread().id())
            .field("id", &self.id())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

//! Turns that this client did not start: one turn by its id, the running turn, and all turns of a
//! thread as they begin.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::timeout;

use super::{
    control::TurnControl,
    progress::{Progress, of_turn},
    reader::Turn,
    reconcile::{self, Verdict},
};
use crate::{
    client::{
        handle::CasClient,
        tracker::{GuardRole, Standing, StartedBy},
    },
    error::Error,
    events::{Event, Events},
    protocol::{ThreadTurnsListParams, TurnItemsView, TurnStatus},
    thread::{Thread, status::is_active},
};

/// The number of turns, newest first, that are searched for an id.
const LOOKED_AT: usize = 1000;
const PAGE: u32 = 100;
/// The number of yielded turns that a stream of turns remembers.
const SEEN: usize = 128;
/// How long the server may take to name the turn that it says is running.
const NAMING: Duration = Duration::from_secs(5);

impl Thread {
    /// A turn of this thread by its id, whoever started it, and whether it runs or is over. A
    /// running turn is read from now on; its earlier part comes from the server's record, at the
    /// end.
    ///
    /// Nothing is sent to the turn, and dropping the returned value doesn't interrupt the turn:
    /// only a turn from [`ask`](Self::ask) or a similar method is interrupted when it is dropped.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let outcome = thread.turn("turn_1").await?.finish().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if the thread has no such turn among its last 1,000; and the same errors
    /// as [`CasClient::request`] where the server has to be asked. The server keeps no record of an
    /// ephemeral thread, so only the connection that saw its turns can return them.
    pub async fn turn(&self, id: impl Into<String>) -> Result<Turn, Error> {
        let id = id.into();
        let tracker = self.client().tracker();
        let id = tracker.canonical(self.id(), &id);
        if let Some(Standing::Running | Standing::Ended(_)) = tracker.standing(self.id(), &id) {
            return Ok(self.watch(&id, None));
        }
        match find(self, &id).await? {
            Some(TurnStatus::InProgress) => Ok(self.watch(&id, None)),
            Some(status) => Ok(self.watch(&id, Some(status))),
            None => Err(Error::Invalid(format!(
                "thread {} has no turn {id} on record, and none runs under that id",
                self.id()
            ))),
        }
    }

    /// The running turn of this thread, whoever started it. `None` if no turn runs. As with
    /// [`turn`](Self::turn), nothing is sent to the turn, and dropping the returned value doesn't
    /// interrupt the turn.
    ///
    /// Asks the server if this connection has seen no turn begin, as after a
    /// [resume](CasClient::resume_thread) of an active thread, and if the thread is idle although
    /// no end of its turn was seen.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`], where the server has to be asked. [`Error::Timeout`]
    /// if the server says that a turn runs, and names none within 5 s.
    pub async fn running_turn(&self) -> Result<Option<Turn>, Error> {
        let client = self.client();
        let tracker = client.tracker();
        if let Some(id) = tracker.running(self.id()) {
            // The end may be on its way, or the server has failed to report it.
            if !tracker.lacks_end(self.id(), &id) || is_active(self).await? {
                return Ok(Some(self.watch(&id, None)));
            }
            tracker.lost_end(self.id(), &id);
            return Ok(None);
        }
        if tracker.is_at_rest(self.id()) {
            return Ok(None);
        }
        let named = tracker.until(|| tracker.running(self.id()));
        if !is_active(self).await? {
            return Ok(None);
        }
        if let Some(id) = newest_running(self).await? {
            return Ok(Some(self.watch(&id, None)));
        }
        // The turn has just begun, or the thread keeps no record: then the turn's next event names
        // it.
        match timeout(NAMING, named).await {
            Ok(id) => Ok(Some(self.watch(&id, None))),
            Err(_) if is_active(self).await? => Err(Error::timeout("turn/started", NAMING)),
            Err(_) => Ok(None),
        }
    }

    /// All turns of this thread that begin from now on, whoever starts them: this client, a goal,
    /// the queue, another agent, another client. [`Turn::started_by`] says who.
    ///
    /// The stream yields a turn at its first sign, which is `turn/started` or an item, with all of
    /// the turn's events. Nothing is sent to the turn, and dropping it doesn't interrupt it. A turn
    /// that already runs is yielded at its next item; [`running_turn`](Self::running_turn) returns
    /// it at once.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let mut turns = thread.turns();
    /// while let Some(turn) = turns.next().await {
    ///     let turn = turn?;
    ///     println!("{} by {}", turn.id(), turn.started_by());
    ///     println!("{}", turn.finish().await?.text);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn turns(&self) -> Turns {
        Turns {
            thread: self.clone(),
            events: self.events(),
            seen: VecDeque::new(),
            missed: VecDeque::new(),
        }
    }

    /// A reader that is not responsible for the turn. If a status is given, the turn is over.
    pub(crate) fn watch(&self, id: &str, over: Option<TurnStatus>) -> Turn {
        let (client, control) = (self.client(), TurnControl::of(self, id));
        // NB. A guard of this role neither keeps a turn alive nor has it interrupted.
        let guard = client.tracker().guard(self.id(), id, GuardRole::Control);
        let mut progress = Progress::shared(&guard).unwrap_or_else(|| Progress::late(self, id));
        let known = match client.tracker().standing(self.id(), id) {
            Some(Standing::Ended(status)) => Some(status),
            _ => over,
        };
        if let (Some(status), None) = (known, progress.collector.end()) {
            progress.collector.ended(status);
        }
        Turn::new(control, guard, progress, false)
    }
}

impl CasClient {
    /// The running turns of the threads that this connection follows, and of the threads of their
    /// sub-agents, in no particular order. As with [`Thread::turn`], nothing is sent to the turns.
    #[must_use]
    pub fn running_turns(&self) -> Vec<Turn> {
        let running = self.tracker().all_running().into_iter();
        let turns = running.map(|(thread, turn)| self.thread(thread).watch(&turn, None));
        turns.collect()
    }
}

impl Turn {
    /// Who started the turn, as far as that is known by now. It may be unknown until the first item
    /// of the turn has come.
    #[must_use]
    pub fn started_by(&self) -> StartedBy {
        let tracker = self.thread().client().tracker();
        tracker.started_by(self.thread().id(), self.id())
    }

    /// Whether the thread has an active goal, as the server last reported it. The server then
    /// starts another turn when this one has ended. See [`Thread::goal`](crate::Thread::goal).
    #[must_use]
    pub fn has_active_goal(&self) -> bool {
        let tracker = self.thread().client().tracker();
        tracker.is_goal_active(self.thread().id())
    }
}

/// The status of a turn in the server's record; `None` if the server has no record of the turn.
async fn find(thread: &Thread, turn: &str) -> Result<Option<TurnStatus>, Error> {
    let params = ThreadTurnsListParams::new(thread.id())
        .limit(PAGE)
        .items_view(TurnItemsView::NotLoaded);
    let mut turns = thread.client().pages(params);
    let mut looked_at = 0;
    while let Some(found) = turns.next().await {
        match found {
            Ok(found) if found.id == turn => return Ok(Some(found.status)),
            Ok(_) => {}
            // Nothing is on record yet, or this server has no such list.
            Err(error) if error.rpc().is_some() => {
                return match reconcile::verdict(thread, turn).await {
                    Verdict::Over(record) => Ok(record.end.map(|end| end.status)),
                    Verdict::Running if is_active(thread).await? => {
                        Ok(Some(TurnStatus::InProgress))
                    }
                    Verdict::Running | Verdict::Idle => Ok(None),
                    Verdict::Unknown(error) => Err(error),
                };
            }
            Err(error) => return Err(error),
        }
        looked_at += 1;
        if looked_at == LOOKED_AT {
            break;
        }
    }
    Ok(None)
}

pub(super) async fn newest_running(thread: &Thread) -> Result<Option<String>, Error> {
    let params = ThreadTurnsListParams::new(thread.id())
        .limit(4_u32)
        .items_view(TurnItemsView::NotLoaded);
    match thread.client().request(params).urgent().await {
        Ok(page) => {
            let mut turns = page.data.into_iter();
            let running = turns.find(|turn| turn.status == TurnStatus::InProgress);
            Ok(running.map(|turn| turn.id))
        }
        Err(error) if error.rpc().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A stream of the turns of a thread as they begin; see [`Thread::turns`].
///
/// The stream yields [`Error::Closed`] once, when the connection ends. After a shutdown that was
/// asked for, the stream just ends.
#[derive(Debug)]
#[must_use = "a stream does nothing but fill its queue until it is polled"]
pub struct Turns {
    thread: Thread,
    events: Events,
    seen: VecDeque<String>,
    /// Turns whose beginning was dropped here.
    missed: VecDeque<String>,
}

/// What a [`Turns`] has found.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum Found {
    Turn(Turn),
    Event(Event),
}

impl Turns {
    /// The next turn. `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection ends.
    pub async fn next(&mut self) -> Option<Result<Turn, Error>> {
        std::future::poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Turn, Error>>> {
        loop {
            match ready!(self.poll_found(cx)) {
                Some(Ok(Found::Turn(turn))) => return Poll::Ready(Some(Ok(turn))),
                Some(Ok(Found::Event(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// The next turn, or the next event of the thread that begins no turn.
    pub(crate) fn poll_found(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Found, Error>>> {
        if let Some(id) = self.missed.pop_front() {
            return Poll::Ready(Some(Ok(Found::Turn(self.thread.watch(&id, None)))));
        }
        loop {
            let event = match ready!(self.events.poll_event(cx)) {
                Some(Ok(event)) => event,
                Some(Err(Error::Lagged { .. })) => {
                    let running = self.thread.client().tracker().running(self.thread.id());
                    if let Some(id) = running.filter(|id| self.is_new(id)) {
                        return Poll::Ready(Some(Ok(Found::Turn(self.thread.watch(&id, None)))));
                    }
                    continue;
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            let begins = matches!(
                event.method(),
                "turn/started" | "item/started" | "item/completed"
            );
            let turn = event.turn_id().filter(|_| begins);
            let Some(turn) = turn else {
                return Poll::Ready(Some(Ok(Found::Event(event))));
            };
            let tracker = self.thread.client().tracker();
            let id = tracker.canonical(self.thread.id(), turn);
            // A late event of a turn that is over begins no turn.
            let late = event.method() != "turn/started"
                && match tracker.standing(self.thread.id(), &id) {
                    Some(Standing::Running | Standing::Unseen) => false,
                    Some(Standing::Ended(_)) => {
                        !tracker.is_first(self.thread.id(), &id, event.seq())
                    }
                    Some(Standing::Lost | Standing::Unknown) | None => true,
                };
            if late || !self.is_new(&id) {
                return Poll::Ready(Some(Ok(Found::Event(event))));
            }
            return Poll::Ready(Some(Ok(Found::Turn(self.begin(&id, event)))));
        }
    }

    /// The thread of these turns.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Marks a turn as known from elsewhere.
    pub(crate) fn seen(&mut self, id: &str) {
        self.is_new(id);
    }

    fn is_new(&mut self, id: &str) -> bool {
        if self.seen.iter().any(|seen| seen == id) {
            return false;
        }
        if self.seen.len() == SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(id.to_owned());
        true
    }

    /// The turn, with this event and all events that are still to be read.
    fn begin(&self, id: &str, first: Event) -> Turn {
        let (thread, client) = (&self.thread, self.thread.client());
        let whole = first.method() == "turn/started"
            || client.tracker().begins_with(thread.id(), id, first.seq());
        let mut events = self.events.fork();
        events.subscription().rebind().to(&of_turn(thread.id(), id));
        events.unread(vec![first]);
        let mut progress = Progress::new(events);
        progress.collector.gaps = !whole;
        let guard = client.tracker().guard(thread.id(), id, GuardRole::Control);
        Turn::new(TurnControl::of(thread, id), guard, progress, false)
    }
}

impl Stream for Turns {
    type Item = Result<Turn, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_turn(cx)
    }
}

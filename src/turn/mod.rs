//! A running turn: its events as they come, its outcome, and the means to steer and to interrupt it.

mod collect;
mod control;
mod outcome;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use serde::Deserialize;

use crate::{
    Event, Events, Filter, Input, Thread,
    error::{CloseReason, Error},
    protocol::{ThreadItem, ThreadTokenUsage},
    rpc::router::{OnReply, Route},
    tracker::Starting,
};
use collect::Collector;
pub use control::TurnControl;
pub use outcome::{Item, TurnError, TurnErrorKind, TurnFailure, TurnOutcome};

/// What happens in a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TurnEvent {
    /// The server has begun to work on it.
    Started,
    /// A piece of the agent's message.
    Text(String),
    /// A piece of what the agent says of its reasoning.
    Reasoning(String),
    /// A step has begun: a command, a file change, a tool call, a message.
    ItemStarted(Box<ThreadItem>),
    /// A step has ended.
    ItemCompleted(Box<ThreadItem>),
    /// The tokens used so far.
    Usage(Box<ThreadTokenUsage>),
    /// Something failed and the server is trying again; this is progress, not an end.
    Retrying(TurnFailure),
    /// Pieces were dropped here because this stream was read too slowly. The outcome is whole all the same.
    Lagged(u64),
    /// Any other event of the turn, or of its thread.
    Other(Event),
    /// The end; nothing follows.
    Completed(Box<TurnOutcome>),
}

/// A turn that was started with [`Thread::ask`]: a stream of [`TurnEvent`]s that ends with `Completed`.
///
/// A turn that is dropped before its end is interrupted, since an agent that nobody watches should not go on running
/// commands; [`detach`](Self::detach) lets it run.
#[derive(Debug)]
#[must_use = "a turn that is dropped is interrupted; use `finish`, or `detach` to let it run"]
pub struct Turn {
    control: TurnControl,
    events: Events,
    collector: Collector,
    state: State,
    joined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Ended,
    Detached,
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

    /// `turn/steer`: adds input to the turn.
    ///
    /// # Errors
    /// [`Error::Rpc`] of kind `NoActiveTurn` if it has ended, `NotSteerable` if it is of a kind that takes no input.
    pub async fn steer(&self, input: impl Into<Input>) -> Result<(), Error> {
        self.control.steer(input).await
    }

    /// `turn/interrupt`: ends the turn. Returns how it ended in fact, which may be well if it was just finishing.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the server doesn't act on it, [`Error::Closed`] if the connection ends.
    pub async fn interrupt(&self) -> Result<crate::protocol::TurnStatus, Error> {
        self.control.interrupt().await
    }

    /// The next thing that happens. `None` after the end.
    pub async fn next(&mut self) -> Option<Result<TurnEvent, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits for the end and returns the outcome of a turn that completed.
    ///
    /// # Errors
    /// [`Error::Turn`] for one that failed, was interrupted or was cut off by the connection's end; everything that was
    /// collected is in it.
    pub async fn finish(mut self) -> Result<TurnOutcome, Error> {
        while let Some(event) = self.next().await {
            if let TurnEvent::Completed(outcome) = event? {
                return outcome.into_result().map_err(Error::from);
            }
        }
        Err(Error::Invalid(format!(
            "turn {} was already read to its end",
            self.id()
        )))
    }

    /// Lets the turn run without this handle.
    #[must_use]
    pub fn detach(mut self) -> TurnControl {
        self.state = State::Detached;
        self.control.clone()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<TurnEvent, Error>>> {
        loop {
            if self.state == State::Ended {
                return Poll::Ready(None);
            }
            let event = match ready!(self.events.poll_event(cx)) {
                Some(Ok(event)) => event,
                Some(Err(Error::Lagged { skipped })) => {
                    return Poll::Ready(Some(Ok(TurnEvent::Lagged(skipped))));
                }
                Some(Err(Error::Closed(reason))) => {
                    return Poll::Ready(Some(Err(self.cut_off(reason))));
                }
                Some(Err(other)) => return Poll::Ready(Some(Err(other))),
                None => {
                    let reason = Arc::new(CloseReason::shutdown());
                    return Poll::Ready(Some(Err(self.cut_off(reason))));
                }
            };
            // NB. Before the answer to `turn/start` the subscription took the whole thread, and an older turn's events
            // may have been queued by then. What was queued was cut down to this turn; this is what holds it to that.
            if event.turn_id().is_some_and(|turn| turn != self.id()) {
                continue;
            }
            let event = self.collector.take(event);
            if matches!(event, TurnEvent::Completed(_)) {
                self.state = State::Ended;
            }
            return Poll::Ready(Some(Ok(event)));
        }
    }

    fn cut_off(&mut self, reason: Arc<CloseReason>) -> Error {
        self.state = State::Ended;
        let outcome = self.collector.so_far();
        Error::from(TurnError {
            kind: TurnErrorKind::Closed(reason),
            outcome,
        })
    }
}

impl Stream for Turn {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.state == State::Running {
            self.thread()
                .client()
                .dispatch()
                .abandon(self.thread().id(), self.id());
        }
    }
}

/// What stands ready for a turn before `turn/start` is sent.
pub(crate) struct Binding {
    events: Events,
    thread: String,
    active_before: Option<String>,
    starting: Starting,
}

impl Binding {
    pub(crate) fn new(thread: &Thread) -> Self {
        let tracker = thread.client().dispatch().tracker();
        Self {
            events: thread.events(),
            thread: thread.id().to_owned(),
            active_before: tracker.active(thread.id()),
            starting: tracker.starting(thread.id()),
        }
    }

    /// Runs in the reader as soon as the answer is there: from then on the subscription is about the one turn.
    pub(crate) fn hook(&self) -> OnReply {
        #[derive(Deserialize)]
        struct Started {
            turn: Id,
        }
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let binder = self.events.subscription().binder();
        let thread = Filter::all().thread(self.thread.as_str());
        Box::new(move |outcome| {
            let Ok(reply) = outcome else { return };
            let Ok(started) = serde_json::from_str::<Started>(reply.result()) else {
                return;
            };
            let turn = started.turn.id;
            let matcher = move |route: &Route<'_>| {
                thread.matches(route) && route.turn.is_none_or(|t| t == turn)
            };
            binder.bind(&(Arc::new(matcher) as _));
        })
    }

    pub(crate) fn into_turn(self, thread: Thread, id: &str) -> Turn {
        let watch = thread.client().dispatch().tracker().watch(&self.thread, id);
        drop(self.starting);
        Turn {
            collector: Collector::new(&self.thread, id),
            joined: self.active_before.as_deref() == Some(id),
            control: TurnControl::new(thread, watch),
            events: self.events,
            state: State::Running,
        }
    }
}

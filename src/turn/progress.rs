//! What one reader of a turn has: the events that are to come, and what was made of those that came.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use super::{collect::Collector, event::TurnEvent};
use crate::protocol::routing::RoutingKeys as _;
use crate::{
    client::tracker::TurnGuard,
    error::{CloseReason, Error},
    events::{Events, Filter},
    protocol::Name,
    protocol::pointer::at,
    rpc::{MessageKind, Route, router::Matcher},
    thread::Thread,
};

#[derive(Debug)]
pub(crate) struct Progress {
    /// Read by [`Progress::poll`] alone.
    events: Events,
    pub(super) collector: Collector,
}

/// What has come: what it is to the user, `None` if that is nothing, and what it says of the turn.
pub(super) struct Heard {
    pub(super) told: Option<TurnEvent>,
    pub(super) sign: Sign,
}

/// What an event says of a turn beside what is told.
pub(super) enum Sign {
    None,
    /// Whether its thread rests, though it has started.
    Rests(bool),
    /// Its thread is closed, archived or deleted.
    Gone,
}

impl Progress {
    pub(super) fn new(events: Events) -> Self {
        Self {
            events,
            collector: Collector::default(),
        }
    }

    /// Takes the next event and takes note of it, in one go: a reader who came in between would have it from neither.
    /// `None` is one of another turn.
    pub(super) fn poll(
        &mut self,
        turn: &str,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Heard>, Error>> {
        self.events.poll_event(cx).map(|event| {
            let event = match event {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    self.collector.gaps |= matches!(error, Error::Lagged { .. });
                    return Err(error);
                }
                None => return Err(Error::Closed(Arc::new(CloseReason::shutdown()))),
            };
            // NB. Before the answer to `turn/start` the subscription took the whole thread, and an older turn's events
            // may have been queued by then. What was queued was cut down to this turn; this is what holds it to that.
            if event.turn_id().is_some_and(|of| of != turn) {
                return Ok(None);
            }
            let sign = match event.method() {
                "thread/status/changed" => {
                    // Before the turn has started, it is the one before that has ended.
                    let status = at::<Name<'_>>(event.json(), &["status", "type"]);
                    let rests = status.is_ok_and(|Name(status)| status != "active");
                    Sign::Rests(rests && self.collector.has_started())
                }
                "thread/closed" | "thread/archived" | "thread/deleted" => Sign::Gone,
                _ => Sign::None,
            };
            let told = self.collector.take(event);
            Ok(Some(Heard { told, sign }))
        })
    }

    /// For a reader who comes when there is nobody to tell what has been.
    pub(super) fn late(thread: &Thread, turn: &str) -> Self {
        let mut progress = Self::new(Events::new(
            thread.client().subscribe(of_turn(thread.id(), turn)),
        ));
        progress.collector.gaps = true;
        progress
    }

    /// What another reader has, best one who has missed nothing.
    pub(super) fn shared(guard: &TurnGuard) -> Option<Self> {
        let mut best: Option<Self> = None;
        for other in guard.shared() {
            let Ok(other) = Arc::downcast::<Mutex<Self>>(other) else {
                continue;
            };
            let fork = other.lock().unwrap_or_else(PoisonError::into_inner).fork();
            let whole = !fork.collector.gaps;
            if whole || best.is_none() {
                best = Some(fork);
            }
            if whole {
                break;
            }
        }
        best
    }

    /// The same, for another reader: not one event is missed or doubled between what has been and what comes.
    pub(super) fn fork(&self) -> Self {
        Self {
            events: self.events.fork(),
            collector: self.collector.clone(),
        }
    }
}

/// The events of one turn, and those of its thread that are of no turn.
pub(super) fn of_turn(thread: &str, turn: &str) -> Matcher {
    let (thread, turn) = (Filter::all().thread(thread), turn.to_owned());
    Arc::new(move |route: &Route<'_>| {
        route.kind != MessageKind::LateResponse
            && thread.matches(route)
            && route.turn().is_none_or(|t| t == turn)
    })
}

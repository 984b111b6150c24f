//! What one reader of a turn has: the events to come, and what was collected from the events so
//! far.

use std::{
    sync::Arc,
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
    rpc::Lock,
    rpc::{MessageKind, Route, router::Matcher},
    thread::Thread,
};

#[derive(Debug)]
pub(crate) struct Progress {
    /// Read by [`Progress::poll`] alone.
    events: Events,
    pub(super) collector: Collector,
    /// Whether the turn may have ended before `events` began.
    pub(super) is_late: bool,
}

/// A received event: what the user gets, `None` if that is nothing, and what the event says about
/// the turn.
pub(super) struct Heard {
    pub(super) told: Option<TurnEvent>,
    pub(super) sign: Sign,
}

/// What an event says about a turn, beside what the user gets.
pub(super) enum Sign {
    None,
    /// Whether the thread of the turn rests, though the turn has started.
    Rests(bool),
    /// The thread of the turn is closed, archived or deleted.
    Gone,
}

impl Progress {
    pub(super) fn new(events: Events) -> Self {
        Self {
            events,
            collector: Collector::default(),
            is_late: false,
        }
    }

    /// Takes the next event and records it in one step: a reader that came in between would have
    /// the event from neither. `None` is an event of another turn.
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
            // NB. Before the response to `turn/start` the subscription took the whole thread, and
            // events of an older turn may have been queued by then. The queue was cut down to this
            // turn; this check holds it to that.
            if event.turn_id().is_some_and(|of| of != turn) {
                return Ok(None);
            }
            let sign = match event.method() {
                "thread/status/changed" => {
                    // Before this turn has started, the status is about the end of the previous
                    // turn.
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

    /// For a reader that comes when no other reader has the events so far.
    pub(super) fn late(thread: &Thread, turn: &str) -> Self {
        let mut progress = Self::new(Events::new(
            thread.client().subscribe(of_turn(thread.id(), turn)),
        ));
        progress.collector.gaps = true;
        progress.is_late = true;
        progress
    }

    /// A copy of what another reader has, preferably of a reader that has missed nothing.
    pub(super) fn shared(guard: &TurnGuard) -> Option<Self> {
        let mut best: Option<Self> = None;
        for other in guard.shared() {
            let Ok(other) = Arc::downcast::<Lock<Self>>(other) else {
                continue;
            };
            let fork = other.lock().fork();
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

    /// A copy for another reader: between the events so far and the events to come, not one is
    /// missed or doubled.
    pub(super) fn fork(&self) -> Self {
        Self {
            events: self.events.fork(),
            collector: self.collector.clone(),
            is_late: false, // The end was collected, or is among the events to come.
        }
    }
}

/// The events of one turn, and the events of its thread that belong to no turn.
pub(super) fn of_turn(thread: &str, turn: &str) -> Matcher {
    let (thread, turn) = (Filter::all().thread(thread), turn.to_owned());
    Arc::new(move |route: &Route<'_>| {
        route.kind != MessageKind::LateResponse
            && thread.matches(route)
            && route.turn().is_none_or(|t| t == turn)
    })
}

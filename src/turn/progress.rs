//! What one reader of a turn has: the events that are to come, and what was made of those that came.

use std::sync::{Arc, PoisonError};

use super::collect::Collector;
use crate::{
    Events, Filter, Thread,
    rpc::router::{Matcher, Route},
    tracker::Seat,
};

#[derive(Debug)]
pub(crate) struct Progress {
    pub(super) events: Events,
    pub(super) collector: Collector,
}

impl Progress {
    pub(super) fn new(events: Events) -> Self {
        Self {
            events,
            collector: Collector::default(),
        }
    }

    /// For a reader who comes when there is nobody to tell what has been.
    pub(super) fn late(thread: &Thread, turn: &str) -> Self {
        let mut progress = Self::new(thread.client().subscribe(of_turn(thread.id(), turn)));
        progress.collector.gaps = true;
        progress
    }

    /// What another reader has, best one who has missed nothing.
    pub(super) fn shared(seat: &Seat) -> Option<Self> {
        let mut best: Option<Self> = None;
        for other in seat.shared() {
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
    Arc::new(move |route: &Route<'_>| thread.matches(route) && route.turn.is_none_or(|t| t == turn))
}

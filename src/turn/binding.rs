//! From a request that starts a turn to the turn, without a gap between.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    Turn, TurnControl,
    progress::{Progress, of_turn},
};
use crate::{
    Event, Events, Thread,
    client::tracker::{Seat, Starting},
    protocol::pointer::at,
    rpc::reply::OnReply,
};

/// What stands ready for a turn before the request that starts it is sent.
pub(crate) struct Binding {
    thread: Thread,
    events: Events,
    starting: Option<Starting>,
    /// It can't be the answer's turn that was running before.
    fresh: bool,
    bound: Bound,
}

/// The place at the turn, as soon as the answer has named it. Whoever lets go of it last leaves the turn: so a turn whose
/// `ask` was dropped before the answer came is interrupted.
type Bound = Arc<Mutex<Option<(Seat, bool)>>>;

impl Binding {
    pub(crate) fn new(thread: &Thread, fresh: bool) -> Self {
        Self {
            thread: thread.clone(),
            events: thread.events(),
            starting: Some(thread.client().tracker().starting(thread.id())),
            fresh,
            bound: Arc::default(),
        }
    }

    /// Runs in the reader as soon as the answer is there: from then on the subscription is about the one turn.
    pub(crate) fn hook(&mut self) -> Option<OnReply> {
        let starting = self.starting.take()?;
        let rebind = self.events.subscription().rebind();
        let (bound, thread) = (self.bound.clone(), self.thread.id().to_owned());
        let fresh = self.fresh;
        Some(Box::new(move |outcome| {
            let Ok(reply) = outcome else { return };
            let Ok(turn) = at::<String>(reply.result(), &["turn", "id"]) else {
                return;
            };
            rebind.to(&of_turn(&thread, &turn));
            let seat = starting.claim(&turn, fresh);
            *bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
        }))
    }

    /// A turn that its first events have named: those that were `seen`, and those that are to come.
    pub(crate) fn found(thread: &Thread, mut events: Events, seen: Vec<Event>, turn: &str) -> Turn {
        events
            .subscription()
            .rebind()
            .to(&of_turn(thread.id(), turn));
        events.unread(seen);
        let starting = thread.client().tracker().starting(thread.id());
        let (seat, _) = starting.claim(turn, true);
        let control = TurnControl::of(thread, turn);
        Turn::new(control, seat, Progress::new(events), false)
    }

    /// The turn that the answer named; `None` if it named none.
    pub(crate) fn into_turn(self) -> Option<Turn> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let (seat, joined) = bound.take()?;
        drop(bound);
        let control = TurnControl::of(&self.thread, &seat.turn);
        let progress = if joined {
            // Somebody who was there from the beginning has more of it.
            Progress::shared(&seat).unwrap_or_else(|| {
                let mut progress = Progress::new(self.events);
                progress.collector.gaps = true;
                progress
            })
        } else {
            Progress::new(self.events)
        };
        Some(Turn::new(control, seat, progress, joined))
    }
}

//! From a request that starts a turn to the turn itself, without a gap in between.

use std::sync::Arc;

use super::{
    control::TurnControl,
    progress::{Progress, of_turn},
    reader::Turn,
};
use crate::{
    client::tracker::{PendingStart, StartedBy, TurnGuard},
    events::{Event, Events},
    protocol::pointer::at,
    rpc::Lock,
    rpc::reply::OnReply,
    thread::Thread,
};

/// What is prepared for a turn before the request that starts it is sent.
pub(crate) struct PendingTurn {
    thread: Thread,
    events: Events,
    starting: Option<PendingStart>,
    /// The turn that the response names can't be one that was already running.
    fresh: bool,
    named: Named,
}

/// The guard of the turn, as soon as the response has named the turn. Whoever drops the guard last
/// leaves the turn. So a turn whose `ask` was dropped before the response came is interrupted.
type Named = Arc<Lock<Option<(TurnGuard, bool)>>>;

impl PendingTurn {
    pub(crate) fn new(thread: &Thread, fresh: bool) -> Self {
        Self {
            thread: thread.clone(),
            events: thread.events(),
            starting: Some(thread.client().tracker().starting(thread.id())),
            fresh,
            named: Arc::default(),
        }
    }

    /// Runs in the reader as soon as the response is there. From then on the subscription is about
    /// this one turn.
    pub(crate) fn hook(&mut self) -> Option<OnReply> {
        let starting = self.starting.take()?;
        let rebind = self.events.subscription().rebind();
        let (named, thread) = (self.named.clone(), self.thread.id().to_owned());
        let fresh = self.fresh;
        Some(Box::new(move |outcome| {
            let Ok(reply) = outcome else { return };
            let Ok(turn) = at::<String>(reply.result(), &["turn", "id"]) else {
                return;
            };
            rebind.to(&of_turn(&thread, &turn));
            // A turn that can't join another, and that the response names, is a review.
            let by = if fresh {
                StartedBy::Review
            } else {
                StartedBy::Us
            };
            let guard = starting.claim(&turn, by, fresh);
            *named.lock() = Some(guard);
        }))
    }

    /// A turn that its first events have named: the events that were `seen`, and the events to
    /// come.
    pub(crate) fn found(thread: &Thread, mut events: Events, seen: Vec<Event>, turn: &str) -> Turn {
        events
            .subscription()
            .rebind()
            .to(&of_turn(thread.id(), turn));
        events.unread(seen);
        let starting = thread.client().tracker().starting(thread.id());
        let guard = starting.claim_seen(turn, StartedBy::Compaction);
        let control = TurnControl::of(thread, turn);
        Turn::new(control, guard, Progress::new(events), false)
    }

    /// The turn that the response named; `None` if it named none.
    pub(crate) fn into_turn(self) -> Option<Turn> {
        let mut named = self.named.lock();
        let (guard, joined) = named.take()?;
        drop(named);
        let control = TurnControl::of(&self.thread, &guard.turn);
        let progress = if joined {
            // A reader that was there from the beginning has more of the turn.
            Progress::shared(&guard).unwrap_or_else(|| {
                let mut progress = Progress::new(self.events);
                progress.collector.gaps = true;
                progress
            })
        } else {
            Progress::new(self.events)
        };
        Some(Turn::new(control, guard, progress, joined))
    }
}

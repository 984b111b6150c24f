//! A turn that was found running in a snapshot of its thread.

use serde_json::value::{RawValue, to_raw_value};

use super::{
    control::TurnControl,
    progress::{Progress, of_turn},
    reader::Turn,
};
use crate::{
    client::tracker::GuardRole,
    events::Events,
    protocol::{self, ThreadItem, pointer::at},
    thread::Thread,
};

impl Thread {
    /// A reader of a running turn: what a snapshot has of the turn, and the events after the
    /// snapshot, none of which has been read.
    pub(crate) fn found_running(&self, turn: &protocol::TurnInfo, events: Events) -> Turn {
        let matcher = of_turn(self.id(), &turn.id);
        events.subscription().rebind().to(&matcher);
        let mut progress = Progress::new(events);
        let items = turn.items.iter().filter_map(item);
        progress.collector.begin_with(items);
        let tracker = self.client().tracker();
        // NB. A guard of this role neither keeps a turn alive nor has it interrupted.
        let guard = tracker.guard(self.id(), &turn.id, GuardRole::Control);
        Turn::new(TurnControl::of(self, &turn.id), guard, progress, false)
    }
}

/// The id of an item, its text, and whether it is complete.
fn item(item: &ThreadItem) -> Option<(String, Box<RawValue>, bool)> {
    let raw = to_raw_value(item).ok()?;
    let id = at(raw.get(), &["id"]).ok()?;
    let runs = at::<String>(raw.get(), &["status"]).is_ok_and(|status| status == "inProgress");
    Some((id, raw, !runs))
}

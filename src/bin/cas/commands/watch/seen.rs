//! What was shown of a thread, so that everything missed during a lost connection is shown exactly
//! once.

use std::collections::{HashMap, VecDeque};

use cas_sdk::{
    protocol::{ThreadItem, TurnInfo, TurnStatus},
    supervisor::Recovered,
};
use serde_json::Value;

/// How many turns are remembered: more than a snapshot has.
const TURNS: usize = 64;

/// The turns that were shown, with their items.
#[derive(Debug, Default)]
pub(super) struct Seen(VecDeque<SeenTurn>);

#[derive(Debug)]
struct SeenTurn {
    id: String,
    /// The items that have begun, and whether they have ended.
    items: HashMap<String, bool>,
    ended: bool,
}

impl Seen {
    /// Marks a snapshot as shown. Its part of the running turn is shown with the turn.
    pub(super) fn all(&mut self, turns: &[TurnInfo]) {
        for turn in turns {
            self.begin(&turn.id);
            if turn.status != TurnStatus::InProgress {
                for item in &turn.items {
                    self.item(&turn.id, item);
                }
                self.end(&turn.id);
            }
        }
    }

    /// Whether the turn is new.
    pub(super) fn begin(&mut self, turn: &str) -> bool {
        let is_known = self.0.iter().any(|known| known.id == turn);
        self.turn(turn);
        !is_known
    }

    /// Whether the beginning of the item is new.
    pub(super) fn item_began(&mut self, turn: &str, item: &ThreadItem) -> bool {
        let Some(id) = id_of(item) else { return true };
        let items = &mut self.turn(turn).items;
        let is_new = !items.contains_key(&id);
        items.entry(id).or_insert(false);
        is_new
    }

    /// Whether the end of the item is new.
    pub(super) fn item(&mut self, turn: &str, item: &ThreadItem) -> bool {
        match id_of(item) {
            Some(id) => self.turn(turn).items.insert(id, true) != Some(true),
            None => true,
        }
    }

    /// Whether the end of the turn is new.
    pub(super) fn end(&mut self, turn: &str) -> bool {
        !std::mem::replace(&mut self.turn(turn).ended, true)
    }

    fn turn(&mut self, id: &str) -> &mut SeenTurn {
        let at = self.0.iter().rposition(|turn| turn.id == id);
        let at = at.unwrap_or_else(|| {
            if self.0.len() == TURNS {
                self.0.pop_front();
            }
            self.0.push_back(SeenTurn {
                id: id.to_owned(),
                items: HashMap::new(),
                ended: false,
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

/// What was missed of a turn.
#[derive(Debug, Default)]
pub(super) struct MissedTurn {
    pub(super) id: String,
    /// Whether its beginning was missed, too.
    pub(super) is_new: bool,
    pub(super) items: Vec<ThreadItem>,
    /// How it ended, and why it failed.
    pub(super) end: Option<(TurnStatus, Option<String>)>,
}

/// What was missed, turn by turn.
#[derive(Debug, Default)]
pub(super) struct Missed(pub(super) Vec<MissedTurn>);

impl Missed {
    /// What of these was not shown: what was recovered, and the turns of a snapshot that is newer.
    /// From now on it counts as shown.
    pub(super) fn of(recovered: Vec<Recovered>, snapshot: &[TurnInfo], seen: &mut Seen) -> Self {
        let mut missed = Self::default();
        for one in recovered {
            match one {
                Recovered::Item(entry) => missed.item(&entry.turn_id, &entry.item, seen),
                Recovered::Turn(turn) => missed.end(&turn, seen),
                _ => {}
            }
        }
        for turn in snapshot {
            for item in turn.items.iter().filter(|item| is_complete(item)) {
                missed.item(&turn.id, item, seen);
            }
            missed.end(turn, seen);
        }
        missed
    }

    pub(super) fn items(&self) -> usize {
        self.0.iter().map(|turn| turn.items.len()).sum()
    }

    pub(super) fn ends(&self) -> usize {
        self.0.iter().filter(|turn| turn.end.is_some()).count()
    }

    fn item(&mut self, turn: &str, item: &ThreadItem, seen: &mut Seen) {
        let is_new = seen.begin(turn);
        if seen.item(turn, item) {
            self.turn(turn, is_new).items.push(item.clone());
        }
    }

    fn end(&mut self, turn: &TurnInfo, seen: &mut Seen) {
        if turn.status == TurnStatus::InProgress {
            return;
        }
        let is_new = seen.begin(&turn.id);
        if seen.end(&turn.id) {
            let error = turn.error.as_ref().map(|error| error.message.clone());
            self.turn(&turn.id, is_new).end = Some((turn.status.clone(), error));
        }
    }

    fn turn(&mut self, id: &str, is_new: bool) -> &mut MissedTurn {
        let at = self.0.iter().position(|turn| turn.id == id);
        let at = at.unwrap_or_else(|| {
            self.0.push(MissedTurn {
                id: id.to_owned(),
                is_new,
                ..MissedTurn::default()
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

fn id_of(item: &ThreadItem) -> Option<String> {
    let item = serde_json::to_value(item).ok()?;
    Some(item["id"].as_str()?.to_owned())
}

/// Whether an item is complete. The end of a running one comes later.
fn is_complete(item: &ThreadItem) -> bool {
    let item: Value = serde_json::to_value(item).unwrap_or_default();
    item["status"] != "inProgress"
}

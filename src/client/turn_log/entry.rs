//! One turn and one thread in the log.

use std::collections::{HashSet, VecDeque};

use super::StartedBy;
use crate::protocol::TurnStatus;

/// How many finished turns are kept per thread.
const CLOSED: usize = 64;
/// How many commands of one turn are tracked.
const COMMANDS: usize = 1024;

/// The state of a turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    Running,
    Ended(TurnStatus),
    /// The turn's thread was closed, or the connection has ended.
    Lost,
}

/// What a turn began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FirstItem {
    /// A user message, with the id that its client gave it.
    Message(Option<String>),
    Shell,
    Compaction,
    Review,
    Other,
}

#[derive(Debug)]
pub(super) struct TurnEntry {
    pub(super) id: String,
    /// The id under which a review was started, which is not the id of its items.
    pub(super) also: Option<String>,
    pub(super) root: Option<String>,
    /// The line that first named the turn.
    pub(super) seq: u64,
    pub(super) standing: Standing,
    /// What a request of this client said about the turn.
    pub(super) cause: Option<StartedBy>,
    pub(super) first: Option<FirstItem>,
    /// Whether a goal was active when the turn began.
    pub(super) under_goal: bool,
    /// The items of the turn's commands that have not completed.
    pub(super) commands: HashSet<String>,
}

impl TurnEntry {
    fn new(id: &str, seq: u64, under_goal: bool) -> Self {
        Self {
            id: id.to_owned(),
            also: None,
            root: None,
            seq,
            standing: Standing::Running,
            cause: None,
            first: None,
            under_goal,
            commands: HashSet::new(),
        }
    }

    pub(super) fn is(&self, turn: &str) -> bool {
        self.id == turn || self.also.as_deref() == Some(turn)
    }

    pub(super) fn is_running(&self) -> bool {
        self.standing == Standing::Running
    }

    pub(super) fn command_started(&mut self, item: &str) {
        if self.commands.len() < COMMANDS {
            self.commands.insert(item.to_owned());
        }
    }
}

/// What is known about one thread.
#[derive(Debug, Default)]
pub(super) struct ThreadEntry {
    /// The turns, in the order in which they were first named.
    pub(super) turns: VecDeque<TurnEntry>,
    pub(super) goal_active: bool,
    /// Whether the server last said that nothing runs on the thread.
    pub(super) rests: bool,
    /// The model, if the server reported the settings.
    pub(super) model: Option<String>,
    /// The ids of the messages that this client enqueued.
    pub(super) queued: HashSet<String>,
}

impl ThreadEntry {
    pub(super) fn find(&self, turn: &str) -> Option<&TurnEntry> {
        self.turns.iter().rev().find(|known| known.is(turn))
    }

    /// The entry of a turn, added if it is not known yet.
    pub(super) fn turn(&mut self, turn: &str, seq: u64) -> &mut TurnEntry {
        let at = if let Some(at) = self.turns.iter().rposition(|known| known.is(turn)) {
            at
        } else {
            self.make_room();
            let mut entry = TurnEntry::new(turn, seq, self.goal_active);
            if self.rests && seq != u64::MAX {
                entry.standing = Standing::Lost; // What comes late of a turn that was not seen.
            }
            self.turns.push_back(entry);
            self.turns.len() - 1
        };
        &mut self.turns[at]
    }

    /// `turn/started`. A review is started under the id of a hidden turn. The root of that turn is
    /// the id of all items of the review.
    pub(super) fn started(&mut self, turn: &str, root: Option<String>, seq: u64) {
        if let Some(review) = root.as_deref().filter(|root| *root != turn)
            && let Some(known) = self.turns.iter_mut().rev().find(|known| known.id == review)
            && known.is_running()
        {
            known.also = Some(turn.to_owned());
            known.cause.get_or_insert(StartedBy::Review);
            return;
        }
        // One turn runs at a time, whether the server reported the end of the previous turn or not.
        for known in &mut self.turns {
            if known.is_running() && !known.is(turn) && known.seq < seq {
                known.standing = Standing::Lost;
            }
        }
        self.rests = false;
        self.turn(turn, seq).root = root;
    }

    pub(super) fn lose(&mut self) {
        for turn in &mut self.turns {
            if turn.is_running() {
                turn.standing = Standing::Lost;
            }
        }
    }

    fn make_room(&mut self) {
        while self.turns.len() >= CLOSED {
            let closed = self.turns.iter().position(|turn| !turn.is_running());
            // One turn runs at a time. More turns than the limit are the server's mistake; the log
            // stays bounded all the same.
            drop(self.turns.remove(closed.unwrap_or(0)));
        }
    }

    pub(super) fn started_by(&self, turn: &TurnEntry, is_agent: bool) -> StartedBy {
        if let Some(cause) = turn.cause {
            return cause;
        }
        match &turn.first {
            Some(FirstItem::Review) => StartedBy::Review,
            Some(FirstItem::Compaction) => StartedBy::Compaction,
            Some(FirstItem::Shell) => StartedBy::Shell,
            Some(FirstItem::Message(Some(id))) if self.queued.contains(id) => StartedBy::Queue,
            _ if is_agent => StartedBy::SubAgent,
            Some(FirstItem::Message(_)) => StartedBy::OtherClient,
            Some(FirstItem::Other) if turn.under_goal => StartedBy::Goal,
            Some(FirstItem::Other) | None => StartedBy::Unknown,
        }
    }
}

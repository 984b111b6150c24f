//! One turn and one thread in the log.

use std::collections::{HashSet, VecDeque};

use super::StartedBy;
use crate::protocol::TurnStatus;

/// How many finished turns are kept per thread.
const CLOSED: usize = 64;
/// How many commands of one turn are tracked.
const COMMANDS: usize = 1024;
/// The maximum number of tracked messages that this client enqueued and no turn has taken.
const QUEUED: usize = 1024;

/// The state of a turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    Running,
    /// The turn ran when this connection stopped following the thread.
    Unseen,
    Ended(TurnStatus),
    /// The turn is over, but nothing reported how: its thread was closed, another turn has begun,
    /// or the connection has ended.
    Lost,
}

/// What a turn began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstItem {
    UserMessage,
    Shell,
    Compaction,
    Review,
    Other,
}

#[derive(Debug)]
pub(super) struct TurnEntry {
    pub(super) id: String,
    /// The id under which a review was started, which is not the id of its items.
    pub(super) review_id: Option<String>,
    pub(super) root: Option<String>,
    /// The line that first named the turn; `None` while only a response has named it.
    seq: Option<u64>,
    /// Whether no event of the turn was missed.
    is_whole: bool,
    pub(super) standing: Standing,
    /// What a request of this client said about the turn.
    pub(super) cause: Option<StartedBy>,
    pub(super) first: Option<FirstItem>,
    /// Whether a goal was active when the turn began.
    under_goal: bool,
    /// The items of the turn's commands that have not completed.
    pub(super) commands: HashSet<String>,
}

impl TurnEntry {
    pub(super) fn is(&self, turn: &str) -> bool {
        self.id == turn || self.review_id.as_deref() == Some(turn)
    }

    pub(super) fn is_running(&self) -> bool {
        self.standing == Standing::Running
    }

    fn may_run(&self) -> bool {
        matches!(self.standing, Standing::Running | Standing::Unseen)
    }

    /// Whether no earlier line named the turn.
    pub(super) fn is_first(&self, seq: u64) -> bool {
        self.seq.is_none_or(|first| seq <= first)
    }

    /// Whether the turn had no events before this line.
    pub(super) fn begins_with(&self, seq: u64) -> bool {
        self.is_whole && self.is_first(seq)
    }

    /// Records the end of a turn that no event reported. Later events of the turn are late ones.
    pub(super) fn recovered(&mut self, status: TurnStatus) {
        self.seq.get_or_insert(0);
        if !matches!(self.standing, Standing::Ended(_)) {
            self.standing = Standing::Ended(status);
        }
    }

    pub(super) fn started_by(&self, is_agent: bool) -> StartedBy {
        if let Some(cause) = self.cause {
            return cause;
        }
        match &self.first {
            Some(FirstItem::Review) => StartedBy::Review,
            Some(FirstItem::Compaction) => StartedBy::Compaction,
            Some(FirstItem::Shell) => StartedBy::Shell,
            _ if is_agent => StartedBy::SubAgent,
            Some(FirstItem::UserMessage) => StartedBy::OtherClient,
            Some(FirstItem::Other) if self.under_goal => StartedBy::Goal,
            Some(FirstItem::Other) | None => StartedBy::Unknown,
        }
    }

    pub(super) fn command_started(&mut self, item: &str) {
        if self.commands.len() < COMMANDS {
            self.commands.insert(item.to_owned());
        }
    }
}

/// What the server last reported about activity on a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Activity {
    #[default]
    Unknown,
    Active,
    /// A turn is running that began before this connection followed the thread, and no event has
    /// named it yet.
    Joined,
    Rests,
    /// The thread is closed, archived, deleted or unloaded.
    Closed,
}

/// What is known about one thread.
#[derive(Debug, Default)]
pub(super) struct ThreadEntry {
    /// The turns, in the order in which they were first named.
    pub(super) turns: VecDeque<TurnEntry>,
    pub(super) goal_active: bool,
    activity: Activity,
    /// The model, if the server reported the settings.
    pub(super) model: Option<String>,
    /// The ids of the messages that this client enqueued and no turn has taken, oldest first.
    queued: VecDeque<String>,
}

impl ThreadEntry {
    pub(super) fn find(&self, turn: &str) -> Option<&TurnEntry> {
        self.turns.iter().rev().find(|known| known.is(turn))
    }

    /// Returns the entry of a turn that a response names. Adds it if it is unknown.
    pub(super) fn named(&mut self, turn: &str) -> &mut TurnEntry {
        let at = if let Some(at) = self.turns.iter().rposition(|known| known.is(turn)) {
            at
        } else {
            self.make_room();
            self.turns.push_back(TurnEntry {
                id: turn.to_owned(),
                review_id: None,
                root: None,
                seq: None,
                is_whole: true,
                standing: Standing::Running,
                cause: None,
                first: None,
                under_goal: self.goal_active,
                commands: HashSet::new(),
            });
            self.turns.len() - 1
        };
        &mut self.turns[at]
    }

    /// Returns the entry of a turn that this line names. Adds it if it is unknown.
    pub(super) fn seen(&mut self, turn: &str, seq: u64) -> &mut TurnEntry {
        let activity = self.activity;
        let is_new = self.find(turn).is_none();
        let entry = self.named(turn);
        entry.seq.get_or_insert(seq);
        if is_new {
            entry.is_whole = activity != Activity::Joined;
        }
        if is_new || entry.standing == Standing::Unseen {
            entry.standing = match activity {
                // A late event of a turn that was not seen.
                Activity::Rests | Activity::Closed => Standing::Lost,
                Activity::Unknown | Activity::Active | Activity::Joined => Standing::Running,
            };
        }
        entry
    }

    /// `turn/started`. A review is started under the id of a hidden turn. The root of that turn is
    /// the id of all items of the review.
    pub(super) fn started(&mut self, turn: &str, root: Option<String>, seq: u64) {
        if let Some(review) = root.as_deref().filter(|root| *root != turn)
            && let Some(known) = self.turns.iter_mut().rev().find(|known| known.id == review)
            && known.is_running()
        {
            known.seq.get_or_insert(seq);
            known.review_id = Some(turn.to_owned());
            known.cause.get_or_insert(StartedBy::Review);
            return;
        }
        // One turn runs at a time, whether or not the server reported the end of the previous turn.
        // A turn that only a response has named is about to begin.
        self.lose(|known| !known.is(turn) && known.seq.is_some());
        self.activity = Activity::Active;
        let entry = self.seen(turn, seq);
        entry.root = root;
        if entry.standing == Standing::Lost {
            entry.standing = Standing::Running;
        }
    }

    /// `turn/completed`.
    pub(super) fn completed(&mut self, turn: &str, status: TurnStatus, seq: u64) {
        self.seen(turn, seq).standing = Standing::Ended(status);
        if self.activity == Activity::Joined {
            self.activity = Activity::Active;
        }
    }

    /// `thread/status/changed`.
    pub(super) fn is_now(&mut self, status: &str) {
        match status {
            "active" if self.activity == Activity::Joined => {}
            "active" => self.activity = Activity::Active,
            "notLoaded" => self.close(),
            _ => {
                self.activity = Activity::Rests;
                self.lose(|turn| !turn.is_running());
            }
        }
    }

    /// Records that the thread is closed, archived, deleted or unloaded.
    pub(super) fn close(&mut self) {
        self.activity = Activity::Closed;
        self.lose(|_| true);
    }

    /// Records that this connection follows the thread, again or for the first time.
    pub(super) fn followed(&mut self, is_active: bool) {
        if !is_active {
            // NB. Not `Rests`: the next event may be the first sign of a turn.
            self.activity = Activity::Unknown;
            self.lose(|turn| !turn.is_running());
            return;
        }
        self.activity = Activity::Joined;
        // The first events may have arrived before the response to the resume.
        for turn in &mut self.turns {
            turn.is_whole &= !turn.is_running();
        }
    }

    /// Records that this connection no longer follows the thread. Its turns continue unseen.
    pub(super) fn let_go(&mut self) {
        self.activity = Activity::Unknown;
        for turn in &mut self.turns {
            if turn.is_running() {
                turn.standing = Standing::Unseen;
                turn.is_whole = false;
            }
        }
    }

    /// Records that the matching turns are over, if they may still run.
    pub(super) fn lose(&mut self, which: impl Fn(&TurnEntry) -> bool) {
        for turn in &mut self.turns {
            if turn.may_run() && which(turn) {
                turn.standing = Standing::Lost;
            }
        }
    }

    pub(super) fn lacks_end(&self, turn: &str) -> bool {
        let found = self.find(turn);
        self.activity == Activity::Rests
            && found.is_some_and(|turn| turn.is_running() && turn.seq.is_some())
    }

    fn make_room(&mut self) {
        while self.turns.len() >= CLOSED {
            let closed = self.turns.iter().position(|turn| !turn.is_running());
            // One turn runs at a time. More turns than the limit are the server's mistake; the log
            // stays bounded all the same.
            drop(self.turns.remove(closed.unwrap_or(0)));
        }
    }

    pub(super) fn enqueue(&mut self, message: &str) {
        self.dequeue(message);
        if self.queued.len() == QUEUED {
            self.queued.pop_front();
        }
        self.queued.push_back(message.to_owned());
    }

    /// Forgets an enqueued message. Returns whether it was known.
    pub(super) fn dequeue(&mut self, message: &str) -> bool {
        let at = self.queued.iter().position(|queued| queued == message);
        at.is_some_and(|at| self.queued.remove(at).is_some())
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.activity == Activity::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_no_turn_takes_are_forgotten_the_oldest_first() {
        let mut thread = ThreadEntry::default();
        for n in 0..=QUEUED {
            thread.enqueue(&n.to_string());
        }
        thread.enqueue("1"); // Again.
        thread.enqueue("new");
        assert_eq!(thread.queued.len(), QUEUED);
        assert!(!thread.dequeue("0") && !thread.dequeue("2"));
        assert!(thread.dequeue("1") && !thread.dequeue("1"));
        assert!(thread.dequeue("new"));
    }

    #[test]
    fn a_turn_that_only_a_response_has_named_is_not_over_when_another_one_begins() {
        let mut thread = ThreadEntry::default();
        thread.started("a", None, 1);
        thread.named("b");
        thread.started("c", None, 2);
        let standing = |turn| thread.find(turn).unwrap().standing.clone();
        assert_eq!(standing("a"), Standing::Lost);
        assert_eq!(standing("b"), Standing::Running);
        thread.started("b", None, 3);
        assert_eq!(thread.find("c").unwrap().standing, Standing::Lost);
        assert!(thread.find("b").unwrap().begins_with(3));
        assert!(!thread.find("b").unwrap().begins_with(4));
    }
}

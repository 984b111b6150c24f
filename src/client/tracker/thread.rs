//! What is known about one thread.

use std::collections::VecDeque;

use super::{
    changes::Changes,
    owner::Owner,
    phase::Phase,
    started_by::StartedBy,
    turn::{Standing, TurnEntry},
};
use crate::{error::TokenUsage, protocol::TurnStatus};

/// How many turns are kept per thread, unless more are running or in use.
const TURNS: usize = 64;
/// The maximum number of tracked messages that this client enqueued and no turn has taken.
const QUEUED: usize = 1024;

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
#[derive(Default)]
pub(super) struct ThreadEntry {
    /// Who opened the thread; `None` if that is not known.
    pub(super) owner: Option<Owner>,
    /// Whether this connection gets the events of the thread's turns.
    pub(super) followed: bool,
    /// How many `turn/start` requests are in flight.
    pub(super) starting: usize,
    /// The turns, in the order in which they were first named.
    pub(super) turns: VecDeque<TurnEntry>,
    /// How many ends of turns have become known.
    pub(super) ends: u64,
    /// The tokens that the thread has used in its life, if no turn was missed.
    pub(super) total: Option<TokenUsage>,
    pub(super) goal_active: bool,
    activity: Activity,
    /// The model, if the server reported the settings.
    pub(super) model: Option<String>,
    /// The ids of the messages that this client enqueued and no turn has taken, oldest first.
    queued: VecDeque<String>,
}

impl ThreadEntry {
    /// Whether something depends on what is known about the thread.
    pub(super) fn is_needed(&self) -> bool {
        let is_needed = |turn: &TurnEntry| turn.is_running() || turn.held.is_some();
        self.owner.is_some()
            || self.followed
            || self.starting > 0
            || self.turns.iter().any(is_needed)
    }

    pub(super) fn forget_finished_turns(&mut self) {
        self.turns
            .retain(|turn| turn.is_running() || turn.held.is_some());
    }

    pub(super) fn find(&self, turn: &str) -> Option<&TurnEntry> {
        self.turns.iter().rev().find(|known| known.is(turn))
    }

    pub(super) fn find_mut(&mut self, turn: &str) -> Option<&mut TurnEntry> {
        self.turns.iter_mut().rev().find(|known| known.is(turn))
    }

    /// The last turn that an event or a response has named.
    pub(super) fn last(&self) -> Option<&TurnEntry> {
        let known = |turn: &&TurnEntry| turn.standing != Standing::Unknown;
        self.turns.iter().rev().find(known)
    }

    /// The running turn, or the one that is about to start.
    pub(super) fn running(&self) -> Option<&TurnEntry> {
        self.turns.iter().rev().find(|turn| turn.is_running())
    }

    /// The running turn that an event has named.
    pub(super) fn seen_running(&self) -> Option<&TurnEntry> {
        let seen = |turn: &&TurnEntry| turn.is_running() && turn.seq.is_some();
        self.turns.iter().rev().find(seen)
    }

    pub(super) fn forget(&mut self, turn: &str) {
        self.turns.retain(|known| !known.is(turn));
    }

    /// Whether it is certain that no turn runs.
    pub(super) fn is_at_rest(&self) -> bool {
        self.followed && !self.is_joined() && self.running().is_none()
    }

    /// Whether a turn is running that no event has named yet.
    pub(super) fn is_joined(&self) -> bool {
        self.activity == Activity::Joined
    }

    /// The entry of a turn, added if the turn is not known yet.
    pub(super) fn turn(&mut self, turn: &str) -> &mut TurnEntry {
        let at = if let Some(at) = self.turns.iter().rposition(|known| known.is(turn)) {
            at
        } else {
            self.make_room();
            self.turns.push_back(TurnEntry::new(turn, self.goal_active));
            self.turns.len() - 1
        };
        &mut self.turns[at]
    }

    /// Records that a response names a turn.
    pub(super) fn named(&mut self, turn: &str) -> &mut TurnEntry {
        let entry = self.turn(turn);
        if entry.standing == Standing::Unknown {
            entry.standing = Standing::Running;
        }
        entry
    }

    /// Records that this line names a turn.
    pub(super) fn seen(&mut self, turn: &str, seq: u64) -> &mut TurnEntry {
        let activity = self.activity;
        let entry = self.turn(turn);
        entry.seq.get_or_insert(seq);
        if entry.standing == Standing::Unknown {
            entry.is_whole = activity != Activity::Joined;
        }
        if matches!(entry.standing, Standing::Unknown | Standing::Unseen) {
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
    pub(super) fn started(&mut self, turn: &str, root: Option<&str>, seq: u64) -> &mut TurnEntry {
        // The server sends a turn's events only to connections that follow the thread, so this
        // connection follows it.
        self.followed = true;
        let is_review = |known: &TurnEntry| {
            root.is_some_and(|root| root != turn && known.id == root)
                && !matches!(known.standing, Standing::Ended(_) | Standing::Lost)
        };
        if let Some(review) = self.turns.iter_mut().rev().find(|known| is_review(known)) {
            review.review_id = Some(turn.to_owned());
            review.cause.get_or_insert(StartedBy::Review);
            if review.standing == Standing::Unknown {
                review.standing = Standing::Running;
                review.is_whole = false; // Its first items come before `turn/started`.
            }
        } else {
            // One turn runs at a time, whether or not the server reported the end of the previous
            // turn. A turn that only a response has named is about to begin.
            for known in &mut self.turns {
                if !known.is(turn) && known.seq.is_some() {
                    known.lose();
                }
            }
        }
        self.activity = Activity::Active;
        let entry = self.seen(turn, seq);
        if entry.standing == Standing::Lost {
            entry.standing = Standing::Running;
        }
        entry
    }

    /// `turn/completed`, or an end that the server reported only when asked.
    pub(super) fn end(&mut self, turn: &str, status: &TurnStatus, seq: u64, changes: &mut Changes) {
        self.ends += 1;
        let ends = self.ends;
        let entry = self.seen(turn, seq);
        entry.end(status, changes);
        entry.ended_as = ends;
        if self.activity == Activity::Joined {
            self.activity = Activity::Active;
        }
    }

    /// `thread/status/changed`.
    pub(super) fn set_status(&mut self, status: &str, changes: &mut Changes) {
        match status {
            "active" if self.activity == Activity::Joined => {}
            "active" => self.activity = Activity::Active,
            "notLoaded" => self.close(changes),
            _ => {
                self.activity = Activity::Rests;
                self.lose_unseen();
            }
        }
        changes.note();
    }

    /// Records that the thread is closed, archived, deleted or unloaded, or that the connection has
    /// ended.
    pub(super) fn close(&mut self, changes: &mut Changes) {
        self.followed = false;
        self.total = None;
        self.activity = Activity::Closed;
        for turn in &mut self.turns {
            turn.lose();
            turn.enter(Phase::Lost, changes);
            turn.release();
        }
        changes.note();
    }

    /// Records that this connection follows the thread, again or for the first time.
    pub(super) fn follow(&mut self, is_active: bool) {
        let was_followed = std::mem::replace(&mut self.followed, true);
        if was_followed && (!is_active || self.running().is_some()) {
            return;
        }
        if is_active {
            // The first events may have arrived before the response to the resume.
            for turn in &mut self.turns {
                turn.is_whole &= !turn.is_running() || turn.is_about_to_start();
            }
            if self.running().is_none() {
                self.activity = Activity::Joined;
            }
        } else {
            // NB. Not `Rests`: the next event may be the first sign of a turn.
            self.activity = Activity::Unknown;
            self.lose_unseen();
        }
    }

    /// Records that this connection no longer follows the thread. Its turns continue unseen.
    pub(super) fn unfollow(&mut self) {
        self.followed = false;
        self.total = None;
        self.activity = Activity::Unknown;
        for turn in &mut self.turns {
            if turn.is_running() {
                turn.standing = Standing::Unseen;
                turn.is_whole = false;
            }
        }
    }

    /// Records that the turns that ran when this connection stopped following the thread are over.
    fn lose_unseen(&mut self) {
        for turn in &mut self.turns {
            if turn.standing == Standing::Unseen {
                turn.lose();
            }
        }
    }

    pub(super) fn lacks_end(&self, turn: &str) -> bool {
        let found = self.find(turn);
        self.activity == Activity::Rests
            && found.is_some_and(|turn| turn.is_running() && turn.seq.is_some())
    }

    fn make_room(&mut self) {
        while self.turns.len() >= TURNS {
            // One turn runs at a time. More turns than the limit are the server's mistake; the facts
            // stay bounded all the same, except for turns that are in use.
            let free = |turn: &TurnEntry| turn.held.is_none();
            let over = self.turns.iter().position(|t| free(t) && !t.is_running());
            let Some(at) = over.or_else(|| self.turns.iter().position(free)) else {
                return;
            };
            drop(self.turns.remove(at));
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
    fn a_turn_that_only_a_handle_names_does_not_run() {
        let mut thread = ThreadEntry::default();
        thread.turn("a");
        assert!(thread.running().is_none());
        thread.named("a");
        assert!(thread.running().is_some());
    }

    #[test]
    fn a_turn_that_somebody_holds_is_kept() {
        let mut thread = ThreadEntry::default();
        let mut changes = Changes::default();
        thread.turn("held").hold(false);
        thread.end("held", &TurnStatus::Completed, 1, &mut changes);
        thread.turn("held").hold(false).guards += 1;
        for n in 0..2 * TURNS {
            thread.started(&n.to_string(), None, 2);
        }
        assert!(thread.find("held").is_some() && thread.find("0").is_none());
        assert_eq!(thread.turns.len(), TURNS);
        assert!(thread.is_needed());
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

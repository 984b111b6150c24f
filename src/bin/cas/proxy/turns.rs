//! Which turns run, as far as the server says: the end of the commands waits for them.

use std::collections::{HashSet, VecDeque};

/// How many ended turns are remembered, since the answer to a `turn/start` may come after the
/// turn's end.
const REMEMBERED: usize = 64;
/// More turns than ever run at once; the instance does not wait for any beyond that.
const MOST: usize = 4_096;

/// The turns that run, by id (a JSON string).
#[derive(Debug)]
pub(super) struct Turns {
    running: HashSet<Box<str>>,
    ended: VecDeque<Box<str>>,
    /// Whether the server tells when turns end.
    has_ends: bool,
}

impl Turns {
    pub(super) fn new(opted_out: &[String]) -> Self {
        Self {
            running: HashSet::new(),
            ended: VecDeque::new(),
            has_ends: !opted_out.iter().any(|method| method == "turn/completed"),
        }
    }

    pub(super) fn any(&self) -> bool {
        !self.running.is_empty()
    }

    pub(super) fn started(&mut self, turn: &str) {
        let is_new = !self.ended.iter().any(|ended| **ended == *turn);
        if self.has_ends && is_new && self.running.len() < MOST {
            self.running.insert(turn.into());
        }
    }

    pub(super) fn ended(&mut self, turn: &str) {
        self.running.remove(turn);
        self.ended.push_back(turn.into());
        if self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_whose_end_comes_before_the_answer_does_not_run() {
        let mut turns = Turns::new(&[]);
        turns.started("\"a\"");
        assert!(turns.any());
        turns.ended("\"a\"");
        turns.started("\"a\"");
        assert!(!turns.any());
    }

    #[test]
    fn turns_whose_end_is_not_told_are_not_waited_for() {
        let mut turns = Turns::new(&["turn/completed".to_owned()]);
        turns.started("\"a\"");
        assert!(!turns.any());
    }
}

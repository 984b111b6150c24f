//! Which turn used which tokens. The server counts by thread; this module counts by turn,
//! sub-agents included.

use serde::Deserialize;

use super::{State, Tracker, TurnTrack};
use crate::{error::TokenUsage, protocol::pointer::at};

/// Whether tokens count as the turn's own or as its sub-agents'.
enum Share {
    Own,
    Agent,
}

impl Tracker {
    /// `thread/tokenUsage/updated`: the total of the thread, and what the last response took.
    pub(super) fn used(&self, thread: &str, turn: &str, params: &str) {
        #[derive(Deserialize)]
        struct Usage {
            total: TokenUsage,
            last: TokenUsage,
        }
        let Ok(token_usage) = at::<Usage>(params, &["tokenUsage"]) else {
            return;
        };
        let mut state = self.lock();
        let Some(track) = state.threads.get_mut(thread) else {
            return;
        };
        // The difference of two totals neither counts a repeated notification twice nor misses a
        // dropped one. The difference needs an earlier total, which a thread that was forked, or
        // resumed in the middle of a turn, doesn't have.
        let before = track.total.replace(token_usage.total);
        let added = before.map_or(token_usage.last, |before| token_usage.total.since(before));
        let Some((owner, share)) = state.turn_counted_for(thread, turn) else {
            return;
        };
        if owner.is_over() {
            return; // What an outcome says must not depend on when it is read.
        }
        match share {
            Share::Own => owner.used.own = Some(owner.used.own.unwrap_or_default() + added),
            Share::Agent => owner.used.agents = owner.used.agents + added,
        }
    }

    /// A call that names the threads of sub-agents.
    pub(super) fn agents(&self, thread: &str, turn: &str, params: &str) {
        let Ok(called) = at::<Vec<String>>(params, &["item", "receiverThreadIds"]) else {
            return;
        };
        let mut state = self.lock();
        // A sub-agent's own sub-agents count towards the same turn as the sub-agent.
        if let Some((owner, _)) = state.turn_counted_for(thread, turn) {
            owner.agents.extend(called);
        }
    }
}

impl State {
    /// The turn that a turn's tokens count towards: itself, or the turn that its sub-agent works
    /// for.
    fn turn_counted_for(&mut self, thread: &str, turn: &str) -> Option<(&mut TurnTrack, Share)> {
        let track = self.threads.get(thread)?;
        if track.turns.contains_key(turn) {
            let own = self.threads.get_mut(thread)?.turns.get_mut(turn)?;
            return Some((own, Share::Own));
        }
        let root = track
            .active
            .as_ref()
            .filter(|active| active.id == turn)
            .map(|active| active.root.clone());
        for (home, track) in &mut self.threads {
            for (id, candidate) in &mut track.turns {
                if root.as_ref() == Some(id) || candidate.agents.contains(thread) {
                    // The root of a review is in the same thread.
                    let share = if home == thread {
                        Share::Own
                    } else {
                        Share::Agent
                    };
                    return Some((candidate, share));
                }
            }
        }
        None
    }
}

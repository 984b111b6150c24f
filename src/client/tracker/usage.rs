//! Which turn used which tokens. The server counts by thread; this module counts by turn,
//! sub-agents included.

use serde::Deserialize;

use super::{State, Tracker};
use crate::{error::TokenUsage, protocol::pointer::at};

/// How deep the tree of sub-agents may be.
const DEPTH: usize = 64;

impl Tracker {
    /// `thread/tokenUsage/updated`: the total of the thread, and what the last response took.
    pub(super) fn used(&self, thread: &str, turn: Option<&str>, params: &str) {
        #[derive(Deserialize)]
        struct Usage {
            total: TokenUsage,
            last: TokenUsage,
        }
        let Ok(usage) = at::<Usage>(params, &["tokenUsage"]) else {
            return;
        };
        let state = &mut *self.lock();
        state.agents.used(thread, usage.total);
        let Some(entry) = state.threads.get_mut(thread) else {
            return;
        };
        // The difference of two totals neither counts a repeated notification twice nor misses a
        // dropped one. The difference needs an earlier total, which a thread that was forked, or
        // resumed in the middle of a turn, doesn't have.
        let before = entry.total.replace(usage.total);
        let added = before.map_or(usage.last, |before| usage.total.since(before));
        if let Some(turn) = turn {
            state.charge(thread, turn, added);
        }
    }
}

impl State {
    /// Adds tokens to the turn that used them, and to the turns for which it works.
    fn charge(&mut self, thread: &str, turn: &str, added: TokenUsage) {
        let mut next = Some((thread.to_owned(), turn.to_owned()));
        for depth in 0..DEPTH {
            let Some((thread, turn)) = next.take() else {
                return;
            };
            let entry = self.threads.get_mut(&thread);
            let mut entry = entry.and_then(|entry| entry.find_mut(&turn));
            // What an outcome says must not depend on when it is read.
            let held = entry.as_mut().and_then(|entry| entry.held.as_mut());
            if let Some(held) = held.filter(|held| !held.is_over()) {
                if depth == 0 {
                    held.used.own = Some(held.used.own.unwrap_or_default() + added);
                } else {
                    held.used.agents = held.used.agents + added;
                }
            }
            if entry.as_ref().is_some_and(|entry| entry.cause.is_some()) {
                return; // This client started the turn, not an agent.
            }
            let caused_by = entry.and_then(|entry| entry.caused_by.clone());
            next = caused_by.or_else(|| self.agents.task(&thread));
        }
    }
}

//! The sub-agents of turns: their threads, their tokens, and their last messages.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    thread::ThreadEntry,
    turn::{Standing, TurnEntry},
};
use crate::{error::TokenUsage, protocol::pointer::at};

/// How many sub-agents are tracked.
const MAX_AGENTS: usize = 1024;
/// How much of an agent's last message is kept, in bytes.
const RESULT: usize = 64 * 1024;

/// A sub-agent as the events describe it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agent {
    pub(crate) thread: String,
    /// The thread that spawned the agent.
    pub(crate) parent: String,
    /// The turn of the parent that spawned the agent, or gave the agent its last task.
    pub(crate) turn: String,
    pub(crate) path: Option<String>,
    pub(crate) nickname: Option<String>,
    pub(crate) result: Option<String>,
    /// The status that the parent's events report, for an agent whose own events are not sent here.
    pub(crate) told_status: Option<String>,
    total: TokenUsage,
    /// What the agent had used before this task.
    before: TokenUsage,
    order: u64,
}

impl Agent {
    pub(crate) fn used(&self) -> TokenUsage {
        self.total.since(self.before)
    }

    /// Whether the agent has finished its work, as far as is known.
    fn is_over(&self, threads: &Threads) -> bool {
        let last = threads.get(&self.thread).and_then(ThreadEntry::last);
        match last.map(|turn| &turn.standing) {
            Some(Standing::Running) => false,
            Some(Standing::Ended(_) | Standing::Lost) => true,
            None | Some(Standing::Unknown | Standing::Unseen) => matches!(
                self.told_status.as_deref(),
                Some("completed" | "errored" | "interrupted" | "shutdown" | "notFound")
            ),
        }
    }
}

type Threads = HashMap<String, ThreadEntry>;

#[derive(Debug, Default)]
pub(super) struct Agents {
    known: HashMap<String, Agent>,
    /// The `order` of the next agent.
    next: u64,
}

/// An item that is about agents: a call that one agent makes to others (`collabAgentToolCall`), or
/// what one agent does (`subAgentActivity`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentItem<'a> {
    #[serde(default)]
    tool: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    receiver_thread_ids: Vec<String>,
    /// Read only where it is needed: the other members count, even if it can't be read.
    #[serde(borrow)]
    agents_states: Option<&'a RawValue>,
    #[serde(default)]
    kind: String,
    agent_thread_id: Option<String>,
    agent_path: Option<String>,
}

impl<'a> AgentItem<'a> {
    /// Returns `None` if the item is not about agents, or can't be read.
    pub(super) fn read(item_type: &str, params: &'a str) -> Option<Self> {
        let is_about_agents = matches!(item_type, "collabAgentToolCall" | "subAgentActivity");
        is_about_agents.then(|| at(params, &["item"]).ok())?
    }

    /// The threads that were spawned, if the item is completed. Agents also speak with other agents,
    /// which makes none of them a child.
    pub(super) fn spawned(&self, item_type: &str) -> &[String] {
        if item_type == "subAgentActivity" {
            let started = self.agent_thread_id.as_ref();
            started
                .filter(|_| self.kind == "started")
                .map_or(&[], std::slice::from_ref)
        } else if self.tool == "spawnAgent" && self.status == "completed" {
            &self.receiver_thread_ids
        } else {
            &[]
        }
    }
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    status: String,
    message: Option<String>,
}

impl Agents {
    /// The thread that spawned an agent, and the turn of that thread for which the agent works.
    pub(super) fn task(&self, thread: &str) -> Option<(String, String)> {
        let agent = self.known.get(thread)?;
        Some((agent.parent.clone(), agent.turn.clone()))
    }

    pub(super) fn is_agent(&self, thread: &str) -> bool {
        self.known.contains_key(thread)
    }

    /// The agents that a turn has spawned or given work, and the agents that these have spawned, in
    /// the order in which they were named.
    pub(super) fn of_turn(&self, thread: &str, turn: &str) -> Vec<Agent> {
        self.tree(|agent| agent.parent == thread && agent.turn == turn)
    }

    /// The same for all turns of a thread.
    pub(super) fn of_thread(&self, thread: &str) -> Vec<Agent> {
        self.tree(|agent| agent.parent == thread)
    }

    fn tree(&self, is_child: impl Fn(&Agent) -> bool) -> Vec<Agent> {
        let mut found: Vec<Agent> = self
            .known
            .values()
            .filter(|a| is_child(a))
            .cloned()
            .collect();
        let mut at = 0;
        while at < found.len() {
            let parent = found[at].thread.clone();
            let more = self.known.values().filter(|agent| {
                agent.parent == parent && !found.iter().any(|known| known.thread == agent.thread)
            });
            let more: Vec<Agent> = more.cloned().collect();
            found.extend(more);
            at += 1;
        }
        found.sort_by_key(|agent| agent.order);
        found
    }

    pub(super) fn named(&mut self, thread: &str, nickname: Option<String>) {
        if let Some(agent) = self.known.get_mut(thread) {
            agent.nickname = nickname.or(agent.nickname.take());
        }
    }

    /// Records that an agent works for a turn from now on.
    pub(super) fn works_for(&mut self, threads: &Threads, child: &str, parent: &str, turn: &str) {
        if child == parent {
            return;
        }
        if !self.known.contains_key(child) && self.known.len() >= MAX_AGENTS {
            self.make_room(threads);
        }
        let order = self.next;
        self.next += 1;
        let agent = self.known.entry(child.to_owned()).or_insert_with(|| Agent {
            thread: child.to_owned(),
            parent: parent.to_owned(),
            turn: turn.to_owned(),
            order,
            ..Agent::default()
        });
        if agent.turn != turn && agent.parent == parent {
            turn.clone_into(&mut agent.turn);
            agent.before = agent.total;
            agent.result = None;
            agent.told_status = None;
        }
    }

    /// Forgets the least relevant agent: the oldest of those whose work and turn are over, closed
    /// ones first; else the oldest whose work is over; else the oldest of all. The work of an agent
    /// includes that of the agents it has spawned.
    fn make_room(&mut self, threads: &Threads) {
        let mut at_work = HashSet::new();
        for agent in self.known.values().filter(|agent| !agent.is_over(threads)) {
            let mut next = Some(agent);
            while let Some(agent) = next.filter(|agent| at_work.insert(&*agent.thread)) {
                next = self.known.get(&agent.parent);
            }
        }
        let rank = |agent: &Agent| {
            if at_work.contains(&*agent.thread) {
                return 3;
            }
            let parent = threads.get(&agent.parent);
            let turn = parent.and_then(|parent| parent.find(&agent.turn));
            if turn.is_some_and(TurnEntry::is_running) {
                return 2;
            }
            let of = threads.get(&agent.thread);
            u8::from(!of.is_some_and(ThreadEntry::is_closed))
        };
        let agents = self.known.values();
        let least = agents.min_by_key(|agent| (rank(agent), agent.order));
        if let Some(thread) = least.map(|agent| agent.thread.clone()) {
            self.known.remove(&thread);
        }
    }

    /// `item/started` or `item/completed` of a call that involves agents.
    pub(super) fn item(
        &mut self,
        threads: &Threads,
        thread: &str,
        turn: &str,
        item: AgentItem<'_>,
    ) {
        if let Some(child) = &item.agent_thread_id {
            if item.kind == "started" || item.kind == "interacted" {
                self.works_for(threads, child, thread, turn);
            }
            if let Some(agent) = self.known.get_mut(child) {
                agent.path = item.agent_path.or(agent.path.take());
                if item.kind == "completed" || item.kind == "interrupted" {
                    agent.told_status = Some(item.kind);
                }
            }
            return;
        }
        if matches!(item.tool.as_str(), "spawnAgent" | "sendInput") {
            for child in &item.receiver_thread_ids {
                self.works_for(threads, child, thread, turn);
            }
        }
        let states = item.agents_states.map(RawValue::get);
        let states = states.map(serde_json::from_str::<HashMap<String, State>>);
        for (child, state) in states.and_then(Result::ok).unwrap_or_default() {
            if let Some(agent) = self.known.get_mut(&child) {
                if let Some(message) = state.message {
                    agent.result = Some(shortened(message));
                }
                agent.told_status = Some(state.status);
            }
        }
    }

    /// Records a message of an agent.
    pub(super) fn message(&mut self, thread: &str, params: &str) {
        #[derive(Deserialize)]
        struct Message {
            #[serde(default)]
            text: String,
            delivery: Option<String>,
        }
        if let Some(agent) = self.known.get_mut(thread)
            && let Ok(message) = at::<Message>(params, &["item"])
            && message.delivery.as_deref() != Some("async")
        {
            agent.result = Some(shortened(message.text));
        }
    }

    pub(super) fn used(&mut self, thread: &str, total: TokenUsage) {
        if let Some(agent) = self.known.get_mut(thread) {
            agent.total = total;
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > RESULT {
        let mut end = RESULT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::tracker::changes::Changes, protocol::TurnStatus};

    /// A thread on which the turn `turn` has begun, and has ended if `is_over`.
    fn thread(turn: &str, is_over: bool) -> ThreadEntry {
        let mut thread = ThreadEntry::default();
        thread.started(turn, None, 1);
        if is_over {
            thread.end(turn, &TurnStatus::Completed, 2, &mut Changes::default());
        }
        thread
    }

    /// As many agents as there is room for. The first has spawned the second, which is at work. The
    /// third works for a running turn, and the last is closed.
    fn full() -> (Threads, Agents) {
        let (mut threads, mut agents) = (Threads::new(), Agents::default());
        threads.insert("root".to_owned(), thread("now", false));
        for n in 0..MAX_AGENTS {
            let (parent, turn) = match n {
                1 => ("0", "0"),
                2 => ("root", "now"),
                _ => ("root", "before"),
            };
            let id = n.to_string();
            agents.works_for(&threads, &id, parent, turn);
            let mut of = thread(&id, n != 1);
            if n == MAX_AGENTS - 1 {
                of.close(&mut Changes::default());
            }
            threads.insert(id, of);
        }
        (threads, agents)
    }

    #[test]
    fn the_agents_that_are_missed_least_are_forgotten_first() {
        let (mut threads, mut agents) = full();
        let mut forgotten = Vec::new();
        for n in MAX_AGENTS..2 * MAX_AGENTS {
            let id = n.to_string();
            let before: HashSet<String> = agents.known.keys().cloned().collect();
            agents.works_for(&threads, &id, "root", "now");
            threads.insert(id.clone(), thread(&id, false));
            assert!(agents.is_agent(&id));
            assert_eq!(agents.known.len(), MAX_AGENTS);
            let gone = before.into_iter().find(|id| !agents.is_agent(id));
            forgotten.push(gone.unwrap());
        }
        let last = (MAX_AGENTS - 1).to_string();
        let over = (3..MAX_AGENTS - 1).map(|n| n.to_string());
        let order: Vec<_> = [last].into_iter().chain(over).collect();
        let (first, rest) = forgotten.split_at(order.len());
        assert_eq!(first, order, "the closed one, then the oldest");
        assert_eq!(rest, ["2", "0", "1"], "what is at work is the last");
    }
}

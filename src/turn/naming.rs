//! The names of a turn's sub-agents, which the server is asked for while the turn goes on.

use std::{collections::HashSet, task::Context};

use super::{agents, sync_future::SyncFuture};
use crate::{client::handle::CasClient, error::SubAgent};

#[derive(Default)]
pub(super) struct Naming {
    pending: Option<SyncFuture<()>>,
    /// The threads of the agents whose names were asked for.
    asked: HashSet<String>,
    /// The threads of the agents that the reader was told of.
    told: HashSet<String>,
    /// The turn is over: what has no name by now has none.
    is_last: bool,
}

impl Naming {
    /// Asks for the names that were not asked for yet, unless a request is on its way.
    pub(super) fn ask(&mut self, client: &CasClient, agents: Vec<SubAgent>) {
        if self.pending.is_some() {
            return;
        }
        let asked = &mut self.asked;
        let unnamed = agents
            .into_iter()
            .filter(|agent| agent.nickname.is_none() && asked.insert(agent.thread_id.clone()));
        let unnamed: Vec<SubAgent> = unnamed.collect();
        if !unnamed.is_empty() {
            let client = client.clone();
            let ask = async move { agents::name(&client, &unnamed).await };
            self.pending = Some(SyncFuture::new(ask));
        }
    }

    /// Asks once more for all names that are missing.
    pub(super) fn ask_at_the_end(&mut self, client: &CasClient, agents: Vec<SubAgent>) {
        if !self.is_last && self.pending.is_none() {
            self.is_last = true;
            self.asked.clear();
            self.ask(client, agents);
        }
    }

    /// Whether an answer has come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(pending) = &mut self.pending else {
            return false;
        };
        let is_done = pending.poll(cx).is_ready();
        if is_done {
            self.pending = None;
        }
        is_done
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Those of these agents that the reader is to be told of now.
    pub(super) fn news(&mut self, agents: Vec<SubAgent>) -> Vec<SubAgent> {
        let is_news = |agent: &SubAgent| {
            (agent.nickname.is_some() || self.is_last) && self.told.insert(agent.thread_id.clone())
        };
        agents.into_iter().filter(is_news).collect()
    }
}

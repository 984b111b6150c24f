//! The sub-agents of a turn, and their status.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::{
    client::handle::CasClient,
    client::tracker::{Agent, Standing},
    error::{SubAgent, SubAgentStatus},
    protocol::{ThreadReadParams, TurnStatus},
};

/// How long the server may take to name the sub-agents. An outcome is worth more than the names.
const NAMING: Duration = Duration::from_secs(1);

/// The agents that a turn has spawned or given work, as far as they are known here.
pub(super) fn known(client: &CasClient, thread: &str, turn: &str) -> Vec<SubAgent> {
    let tracker = client.tracker();
    let agents = tracker.agents_of_turn(thread, turn).into_iter();
    let agents = agents.map(|agent| {
        let standing = tracker.last_standing(&agent.thread);
        SubAgent {
            status: status(standing.as_ref(), &agent),
            usage: agent.used(),
            thread_id: agent.thread,
            parent_thread_id: agent.parent,
            nickname: agent.nickname,
            path: agent.path,
            result: agent.result,
        }
    });
    agents.collect()
}

/// Fetches the names of agents into the tracker.
pub(super) async fn name(client: &CasClient, agents: &[SubAgent]) {
    let unnamed = agents.iter().filter(|agent| agent.nickname.is_none());
    let reads = unnamed.map(|agent| async {
        let params = ThreadReadParams::new(agent.thread_id.as_str());
        if let Ok(read) = client.request(params).urgent().await {
            let tracker = client.tracker();
            tracker.agent_named(&agent.thread_id, read.thread.agent_nickname);
        }
    });
    // The tracker keeps the names that came in time.
    let _ = timeout(NAMING, join_all(reads)).await;
}

fn status(standing: Option<&Standing>, agent: &Agent) -> SubAgentStatus {
    match standing {
        Some(Standing::Running) => SubAgentStatus::Running,
        Some(Standing::Ended(TurnStatus::Completed)) => SubAgentStatus::Completed,
        Some(Standing::Ended(TurnStatus::Failed)) => SubAgentStatus::Failed,
        Some(Standing::Ended(_) | Standing::Lost) => SubAgentStatus::Interrupted,
        // This connection gets none of the agent's own events, so the parent's report has to do.
        None | Some(Standing::Unknown | Standing::Unseen) => match agent.told_status.as_deref() {
            Some("running") => SubAgentStatus::Running,
            Some("completed") => SubAgentStatus::Completed,
            Some("errored") => SubAgentStatus::Failed,
            Some("interrupted" | "shutdown" | "notFound") => SubAgentStatus::Interrupted,
            _ => SubAgentStatus::Pending,
        },
    }
}

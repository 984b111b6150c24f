//! A sub-agent, as a turn and its outcome show it.

use super::usage::TokenUsage;

/// A sub-agent: an agent on a thread of its own that a turn has spawned, or given work.
///
/// Its events are not among those of the turn: `client.thread(id).turns()` has them. Interrupting the turn doesn't stop
/// it; [`Thread::stop_all`](crate::Thread::stop_all) of either thread does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubAgent {
    /// Its thread.
    pub thread_id: String,
    /// The thread that spawned it, which may be another sub-agent's.
    pub parent_thread_id: String,
    /// The name that the server gave it, such as `Noether`; `None` if it gave none, or has not said it yet. The server is
    /// asked for it while the turn is read.
    pub nickname: Option<String>,
    /// Its place among the agents, such as `/root/research`; only newer models name theirs.
    pub path: Option<String>,
    /// How it stands.
    pub status: SubAgentStatus,
    /// The tokens that it used for this turn; those of agents that it spawned itself are with them.
    pub usage: TokenUsage,
    /// What it said last, up to 64 KiB.
    pub result: Option<String>,
}

/// How a sub-agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubAgentStatus {
    /// It has not begun, as far as is known.
    Pending,
    /// It is at work; perhaps longer than the turn that spawned it.
    Running,
    /// It ended well.
    Completed,
    /// It failed.
    Failed,
    /// It was interrupted or closed.
    Interrupted,
}

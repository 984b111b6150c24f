//! A sub-agent, as a turn and its outcome show it.

use super::usage::TokenUsage;

/// A sub-agent: an agent on a thread of its own that a turn has spawned, or given work.
///
/// Its events are not among those of the turn: `client.thread(id).turns()` has them. Interrupting
/// the turn does not stop the sub-agent; [`Thread::stop_all`](crate::Thread::stop_all) on either
/// thread does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubAgent {
    /// Its thread.
    pub thread_id: String,
    /// The thread that spawned it, which may be another sub-agent's.
    pub parent_thread_id: String,
    /// The name that the server gave it, such as `Noether`; `None` if it has none, or if the name
    /// is not known yet. It is fetched from the server while the turn is read.
    pub nickname: Option<String>,
    /// Its path among the agents, such as `/root/research`; only agents of newer models have one.
    pub path: Option<String>,
    /// Its status.
    pub status: SubAgentStatus,
    /// The tokens that it used for this turn, including those of the agents that it spawned.
    pub usage: TokenUsage,
    /// Its last message, up to 64 KiB.
    pub result: Option<String>,
}

/// The status of a sub-agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubAgentStatus {
    /// It has not begun, as far as is known.
    Pending,
    /// It is running; it may outlast the turn that spawned it.
    Running,
    /// It completed.
    Completed,
    /// It failed.
    Failed,
    /// It was interrupted or closed.
    Interrupted,
}

//! What is known about one turn.

use std::{any::Any, collections::HashSet, sync::Weak};

use tokio::sync::watch;

use super::{changes::Changes, phase::Phase, started_by::StartedBy};
use crate::{error::TokenUsage, protocol::TurnStatus};

/// How many commands of one turn are tracked.
const COMMANDS: usize = 1024;

/// What the events and the responses say about a turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    /// Only a handle names the turn: no event and no response has.
    Unknown,
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
    /// The id that the items of the turn carry.
    pub(super) id: String,
    /// The id under which a review runs.
    pub(super) review_id: Option<String>,
    /// The thread and the turn that caused this turn of a sub-agent.
    pub(super) caused_by: Option<(String, String)>,
    /// The line that first named the turn; `None` while no event has.
    pub(super) seq: Option<u64>,
    /// Whether no event of the turn was missed.
    pub(super) is_whole: bool,
    pub(super) standing: Standing,
    /// Which end on its thread the end of the turn was; 0 before it.
    pub(super) ended_as: u64,
    /// What a request of this client said about the turn.
    pub(super) cause: Option<StartedBy>,
    pub(super) first: Option<FirstItem>,
    /// Whether a goal was active when the turn began.
    under_goal: bool,
    /// The items of the turn's commands that have not completed.
    pub(super) commands: HashSet<String>,
    /// What is kept for those who hold a guard of the turn, or because the turn was started here and
    /// has not ended.
    pub(super) held: Option<Box<Held>>,
}

impl TurnEntry {
    pub(super) fn new(id: &str, under_goal: bool) -> Self {
        Self {
            id: id.to_owned(),
            review_id: None,
            caused_by: None,
            seq: None,
            is_whole: true,
            standing: Standing::Unknown,
            ended_as: 0,
            cause: None,
            first: None,
            under_goal,
            commands: HashSet::new(),
            held: None,
        }
    }

    pub(super) fn is(&self, turn: &str) -> bool {
        self.id == turn || self.review_id.as_deref() == Some(turn)
    }

    /// The id by which the server knows the turn.
    pub(super) fn server_id(&self) -> &str {
        self.review_id.as_deref().unwrap_or(&self.id)
    }

    pub(super) fn is_running(&self) -> bool {
        self.standing == Standing::Running
    }

    /// Whether the server has accepted the turn, and no event has named it.
    pub(super) fn is_about_to_start(&self) -> bool {
        self.is_running() && self.seq.is_none()
    }

    /// Whether no earlier line named the turn.
    pub(super) fn is_first(&self, seq: u64) -> bool {
        self.seq.is_none_or(|first| seq <= first)
    }

    /// Whether the turn had no events before this line.
    pub(super) fn begins_with(&self, seq: u64) -> bool {
        self.is_whole && self.is_first(seq)
    }

    /// Records that the turn is over, if it may still run, although nothing reported its end.
    pub(super) fn lose(&mut self) {
        if matches!(self.standing, Standing::Running | Standing::Unseen) {
            self.standing = Standing::Lost;
        }
    }

    /// Records the end of the turn, however the end became known.
    pub(super) fn end(&mut self, status: &TurnStatus, changes: &mut Changes) {
        self.standing = Standing::Ended(status.clone());
        self.enter(Phase::Ended(status.clone()), changes);
        self.release();
        changes.note();
    }

    /// Enters another phase, unless the turn is over for those who wait for it.
    pub(super) fn enter(&self, phase: Phase, changes: &mut Changes) {
        if let Some(held) = self.held.as_ref().filter(|held| !held.is_over()) {
            changes.set_phase(&held.phase, phase);
        }
    }

    /// What is kept for the holders of guards, added if there is nothing yet.
    pub(super) fn hold(&mut self, connection_closed: bool) -> &mut Held {
        let phase = match &self.standing {
            Standing::Ended(status) => Phase::Ended(status.clone()),
            _ if connection_closed => Phase::Lost,
            Standing::Running | Standing::Unseen if self.seq.is_some() => Phase::Started,
            _ => Phase::Accepted,
        };
        self.held.get_or_insert_with(|| Box::new(Held::new(phase)))
    }

    /// Forgets what is kept for the holders of guards, once nothing depends on it.
    pub(super) fn release(&mut self) {
        let is_spent = |held: &mut Box<Held>| {
            held.guards == 0 && (held.is_over() || !(held.ours || held.unwanted))
        };
        self.held.take_if(is_spent);
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

/// The tokens that a turn has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// The turn's own tokens; `None` if the server has not reported them.
    pub(crate) own: Option<TokenUsage>,
    /// The tokens of the sub-agents that the turn started, and of their sub-agents.
    pub(crate) agents: TokenUsage,
}

/// What a reader of a turn shares with others.
pub(crate) type Shared = dyn Any + Send + Sync;

/// What is kept of a turn for the holders of its guards.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) phase: watch::Sender<Phase>,
    /// How many guards the turn has, and how many of them read the turn.
    pub(super) guards: usize,
    pub(super) readers: usize,
    /// Whether this connection started the turn, and so has to end it.
    pub(super) ours: bool,
    /// Whether the turn runs on without a reader.
    pub(super) detached: bool,
    /// Whether nobody wants the turn any more. The turn is then interrupted as soon as the server
    /// accepts an interrupt.
    pub(super) unwanted: bool,
    pub(super) used: Used,
    /// What the turn's readers share with others who want all of it; only `turn` knows its type.
    pub(super) shared: Vec<Weak<Shared>>,
}

impl Held {
    fn new(phase: Phase) -> Self {
        Self {
            phase: watch::Sender::new(phase),
            guards: 0,
            readers: 0,
            ours: false,
            detached: false,
            unwanted: false,
            used: Used::default(),
            shared: Vec::new(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase.borrow().is_over()
    }
}

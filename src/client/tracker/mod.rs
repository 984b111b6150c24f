//! The facts about threads and turns: who opened them, which are followed, which turn runs, how each ended, what it used.
//! So steering, interrupting, dropping and answering need no guesses.
//!
//! It is told by the reader as it goes, before any stream sees the event, and by the hooks that run in the reader when
//! an answer is routed. The one lock is never held while anything is sent.

mod follow;
mod guard;
mod interrupt;
mod limits;
mod locked;
mod observe;
mod ownership;
mod usage;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, OnceLock, Weak},
};

use tokio::sync::{Notify, watch};

use crate::{
    client::turn_log::TurnLog,
    error::TokenUsage,
    protocol::TurnStatus,
    rpc::{Aside, Connection},
};
pub(crate) use guard::{PendingStart, Role, Shared, TurnGuard};
use limits::Limits;
use locked::{Locked, News};
use ownership::Owner;
pub(crate) use ownership::{Answerer, HandlerSet};

/// How far a turn has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// Accepted; the server would refuse an interrupt that names it.
    Accepted,
    /// `turn/started` has come.
    Started,
    /// It has ended so.
    Ended(TurnStatus),
    /// The thread or the connection is gone.
    Lost,
}

impl Phase {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Lost)
    }
}

/// What a turn has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// By itself; `None` if the server has not told.
    pub(crate) own: Option<TokenUsage>,
    /// By the sub-agents that it started, and theirs.
    pub(crate) agents: TokenUsage,
}

/// How many ends are kept for turns that may yet turn out to be somebody's.
const ENDS: usize = 64;

pub(crate) struct Tracker {
    state: Mutex<State>,
    /// Told when a thread is no longer followed.
    let_go: Notify,
    connection: OnceLock<Weak<Connection>>,
    aside: Aside,
    myself: Weak<Self>,
    /// Every turn, whoever began it.
    log: Arc<TurnLog>,
}

#[derive(Default)]
struct State {
    threads: HashMap<String, Track>,
    /// What those who wait are told when the lock is let go.
    news: News,
    limits: Limits,
    /// The running turns of threads with handlers of their own, and the thread of each.
    roots: HashMap<String, String>,
    /// Threads that are not known, and the thread whose turn theirs began with: that has spawned them, or spoken to them.
    links: HashMap<String, String>,
    /// The last threads that were opened through this client and are closed: they are nobody's children.
    closed_threads: VecDeque<String>,
    /// The connection has ended.
    closed: bool,
}

/// What is known of one thread. Kept until it is closed, or while it is followed, a turn runs, or somebody holds a guard.
#[derive(Default)]
struct Track {
    /// Who opened it; `None` if that is not known.
    owner: Option<Owner>,
    /// Whether this connection gets the events of its turns.
    followed: bool,
    /// It was taken up while a turn ran that is not known here.
    busy: bool,
    active: Option<Active>,
    /// The turns that were started here and have not ended, and those that somebody holds a guard of.
    turns: HashMap<String, TurnTrack>,
    /// How many `turn/start` are on their way. Meanwhile ends are kept: they may belong to one of them.
    starting: usize,
    ended: Vec<(String, TurnStatus)>,
    /// The tokens that the thread has used in its life.
    total: Option<TokenUsage>,
}

/// The turn that the server says is running.
#[derive(Debug, Clone)]
struct Active {
    id: String,
    /// The first turn in the chain that led to it. A review runs under an id of its own, and is its root's on the
    /// outside; a turn of a sub-agent has its root in another thread.
    root: String,
}

impl Active {
    fn is(&self, turn: &str) -> bool {
        self.id == turn || self.root == turn
    }
}

struct TurnTrack {
    phase: watch::Sender<Phase>,
    /// How many guards there are, and how many of them read the turn.
    guards: usize,
    readers: usize,
    /// Started by this connection, so it is for this connection to end it.
    ours: bool,
    /// It is to run on without a reader.
    detached: bool,
    /// Nobody wants it any more: to be interrupted as soon as it can be.
    unwanted: bool,
    used: Used,
    /// The threads of its sub-agents.
    agents: HashSet<String>,
    /// What its readers share with others who want the whole of it; only `turn` knows its type.
    shared: Vec<Weak<Shared>>,
}

impl TurnTrack {
    fn new(phase: Phase) -> Self {
        Self {
            phase: watch::Sender::new(phase),
            guards: 0,
            readers: 0,
            ours: false,
            detached: false,
            unwanted: false,
            used: Used::default(),
            agents: HashSet::new(),
            shared: Vec::new(),
        }
    }

    /// Goes on to another phase. Those who wait for it are told when the lock is let go.
    fn enter(&self, phase: Phase, news: &mut News) {
        news.set(&self.phase, phase);
    }

    fn is_over(&self) -> bool {
        self.phase.borrow().is_over()
    }

    /// Nothing depends on it any more.
    fn is_spent(&self) -> bool {
        self.guards == 0 && (self.is_over() || !(self.ours || self.unwanted))
    }
}

impl Track {
    fn is_idle(&self) -> bool {
        self.owner.is_none()
            && !self.followed
            && self.active.is_none()
            && self.turns.is_empty()
            && self.starting == 0
    }

    /// The turn as it is now for somebody who comes to it.
    fn turn(&mut self, turn: &str, closed: bool) -> &mut TurnTrack {
        let phase = if let Some((_, status)) = self.ended.iter().find(|(id, _)| id == turn) {
            Phase::Ended(status.clone())
        } else if closed {
            Phase::Lost
        } else if self.active.as_ref().is_some_and(|active| active.is(turn)) {
            Phase::Started
        } else {
            Phase::Accepted
        };
        self.turns
            .entry(turn.to_owned())
            .or_insert_with(|| TurnTrack::new(phase))
    }

    /// The turn that is over, however that came to be known.
    fn end(&mut self, turn: &str, status: &TurnStatus, news: &mut News) {
        if self.active.as_ref().is_some_and(|active| active.is(turn)) {
            self.active = None;
        }
        self.busy = false;
        if self.starting > 0 {
            if self.ended.len() == ENDS {
                self.ended.remove(0); // One `turn/start` may stay unanswered for ever.
            }
            self.ended.push((turn.to_owned(), status.clone()));
        }
        if let Some(track) = self.turns.get_mut(turn) {
            if !track.is_over() {
                track.enter(Phase::Ended(status.clone()), news);
            }
            if track.is_spent() {
                self.turns.remove(turn);
            }
        }
    }

    /// Its turns can't be followed any more.
    fn lose(&mut self, news: &mut News) {
        self.followed = false;
        self.busy = false;
        self.active = None;
        self.turns.retain(|_, turn| {
            if !turn.is_over() {
                turn.enter(Phase::Lost, news);
            }
            !turn.is_spent()
        });
    }
}

impl State {
    /// Forgets a thread that nothing depends on.
    fn tidy(&mut self, thread: &str) {
        if self.threads.get(thread).is_some_and(Track::is_idle) {
            self.threads.remove(thread);
        }
    }
}

impl Tracker {
    pub(crate) fn new(aside: Aside) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            state: Mutex::default(),
            let_go: Notify::new(),
            connection: OnceLock::new(),
            aside,
            myself: myself.clone(),
            log: TurnLog::new(),
        })
    }

    pub(crate) fn log(&self) -> &Arc<TurnLog> {
        &self.log
    }

    pub(crate) fn attach(&self, connection: &Arc<Connection>) {
        let _ = self.connection.set(Arc::downgrade(connection));
    }

    /// The connection has ended.
    pub(crate) fn close(&self) {
        let mut locked = self.lock();
        let state = &mut *locked;
        state.closed = true;
        let mut owners = Vec::new();
        state.threads.retain(|_, track| {
            track.lose(&mut state.news);
            owners.extend(track.owner.take());
            !track.is_idle()
        });
        drop(locked);
        self.let_go_of_handlers(Some(owners));
        self.let_go.notify_waiters();
        self.log.close();
    }

    /// The id by which the server knows the turn that runs on a thread.
    pub(crate) fn running(&self, thread: &str) -> Option<String> {
        let state = self.lock();
        let track = state.threads.get(thread)?;
        let accepted = || {
            let mut turns = track.turns.iter();
            turns.find(|(_, turn)| turn.ours && !turn.is_over())
        };
        track
            .active
            .as_ref()
            .map(|active| active.id.clone())
            .or_else(|| accepted().map(|(id, _)| id.clone()))
    }

    /// The id by which the server knows this turn: that of a review changes as it starts.
    pub(crate) fn alias(&self, thread: &str, turn: &str) -> String {
        let state = self.lock();
        let active = state.threads.get(thread).and_then(|t| t.active.as_ref());
        match active {
            Some(active) if active.is(turn) => active.id.clone(),
            _ => turn.to_owned(),
        }
    }

    /// Whether a turn is one that was started or is being followed here under this very id.
    pub(crate) fn knows(&self, thread: &str, turn: &str) -> bool {
        let state = self.lock();
        let track = state.threads.get(thread);
        track.is_some_and(|track| track.turns.contains_key(turn))
    }

    /// Whether a request that starts a turn is on its way.
    pub(crate) fn is_starting(&self, thread: &str) -> bool {
        let state = self.lock();
        let track = state.threads.get(thread);
        track.is_some_and(|track| track.starting > 0)
    }

    /// The server was asked and says how a turn has ended, though its end was never told.
    pub(crate) fn recovered(&self, thread: &str, turn: &str, status: &TurnStatus) {
        let state = &mut *self.lock();
        if let Some(track) = state.threads.get_mut(thread) {
            track.end(turn, status, &mut state.news);
        }
        state.tidy(thread);
    }

    fn lock(&self) -> Locked<'_> {
        Locked::new(&self.state)
    }
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").finish_non_exhaustive()
    }
}

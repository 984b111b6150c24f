//! The facts about threads and turns: who opened them, which are followed, which turn runs, how
//! each ended, what it used. With these facts, steering, interrupting, dropping and answering need
//! no guesses.
//!
//! The reader updates the tracker before any stream sees the event, and so do the hooks that run in
//! the reader when a response is routed. The one lock is never held while anything is sent.

mod follow;
mod guard;
mod interrupt;
mod limits;
mod locked;
mod news;
mod observe;
mod owner;
mod ownership;
mod phase;
mod usage;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, OnceLock, Weak},
    time::SystemTime,
};

use tokio::sync::{Notify, watch};

use crate::{
    client::turn_log::TurnLog,
    error::TokenUsage,
    protocol::TurnStatus,
    rpc::{Aside, Connection},
};
pub(crate) use guard::{GuardRole, PendingStart, Shared, TurnGuard};
use limits::Limits;
use news::News;
pub(crate) use owner::HandlerSet;
use owner::Owner;
pub(crate) use ownership::Answerer;
pub(crate) use phase::Phase;

/// The tokens that a turn has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// The turn's own tokens; `None` if the server has not reported them.
    pub(crate) own: Option<TokenUsage>,
    /// The tokens of the sub-agents that the turn started, and of their sub-agents.
    pub(crate) agents: TokenUsage,
}

/// How many ends are kept for turns that may yet turn out to belong to a request in flight.
const ENDS: usize = 64;

pub(crate) struct Tracker {
    state: Mutex<State>,
    /// Notified when a thread is no longer followed.
    let_go: Notify,
    connection: OnceLock<Weak<Connection>>,
    aside: Aside,
    myself: Weak<Self>,
    /// Every turn, whoever started it.
    log: Arc<TurnLog>,
}

#[derive(Default)]
struct State {
    threads: HashMap<String, Track>,
    /// The phases to announce when the lock is released.
    news: News,
    limits: Limits,
    /// The running turns of threads with their own handlers, and the thread of each.
    roots: HashMap<String, String>,
    /// Unknown threads, each with the thread whose turn caused its own: the thread that spawned it
    /// or sent it a message.
    links: HashMap<String, String>,
    /// The most recent threads that were opened through this client and then closed. No other
    /// thread can be their parent.
    closed_threads: VecDeque<String>,
    /// Whether the connection has ended.
    closed: bool,
}

/// What is known about one thread. Kept until the thread is closed, or while the thread is
/// followed, a turn runs, or somebody holds a guard.
#[derive(Default)]
struct Track {
    /// Who opened the thread; `None` if that is not known.
    owner: Option<Owner>,
    /// Whether this connection gets the events of the thread's turns.
    followed: bool,
    /// Whether the thread was resumed while it ran a turn that is not known here.
    busy: bool,
    active: Option<Active>,
    /// The turns that were started here and have not ended, and the turns that somebody holds a
    /// guard of.
    turns: HashMap<String, TurnTrack>,
    /// How many `turn/start` requests are in flight. Meanwhile the ends of turns are kept, because
    /// they may belong to one of these requests.
    starting: usize,
    ended: Vec<(String, TurnStatus)>,
    /// The tokens that the thread has used in its life.
    total: Option<TokenUsage>,
}

/// The turn that the server says is running.
#[derive(Debug, Clone)]
struct Active {
    id: String,
    /// The first turn in the chain that led to this turn. A review runs under an id of its own, and
    /// is shown under the id of its root. The root of a sub-agent's turn is in another thread.
    root: String,
}

impl Active {
    fn is(&self, turn: &str) -> bool {
        self.id == turn || self.root == turn
    }
}

struct TurnTrack {
    phase: watch::Sender<Phase>,
    /// How many guards the turn has, and how many of them read the turn.
    guards: usize,
    readers: usize,
    /// Whether this connection started the turn, and so has to end it.
    ours: bool,
    /// Whether the turn runs on without a reader.
    detached: bool,
    /// Whether nobody wants the turn any more. The turn is then interrupted as soon as the server
    /// accepts an interrupt.
    unwanted: bool,
    used: Used,
    /// The threads of the turn's sub-agents.
    agents: HashSet<String>,
    /// What the turn's readers share with others who want all of it; only `turn` knows its type.
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

    /// Enters another phase. Those who wait for the phase are notified when the lock is released.
    fn enter(&self, phase: Phase, news: &mut News) {
        news.set(&self.phase, phase);
    }

    fn is_over(&self) -> bool {
        self.phase.borrow().is_over()
    }

    fn is_about_to_start(&self) -> bool {
        self.ours && *self.phase.borrow() == Phase::Accepted
    }

    /// Whether nothing depends on the turn any more.
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

    /// The entry of a turn, added if it is not known yet.
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

    /// Records the end of a turn, however the end became known.
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

    /// Records that the thread's turns can't be followed any more.
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

    /// Records the end of the connection.
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

    /// The id by which the server knows the running turn of a thread.
    pub(crate) fn running(&self, thread: &str) -> Option<String> {
        let state = self.lock();
        let track = state.threads.get(thread)?;
        if let Some(active) = &track.active {
            return Some(active.id.clone());
        }
        let mut turns = track.turns.iter().filter(|_| !track.busy);
        let accepted = turns.find(|(_, turn)| turn.is_about_to_start());
        accepted.map(|(id, _)| id.clone())
    }

    /// The id by which the server knows this turn. The id of a review changes as the review starts.
    pub(crate) fn alias(&self, thread: &str, turn: &str) -> String {
        let state = self.lock();
        let active = state.threads.get(thread).and_then(|t| t.active.as_ref());
        match active {
            Some(active) if active.is(turn) => active.id.clone(),
            _ => turn.to_owned(),
        }
    }

    /// Whether a turn was started or is followed here under exactly this id.
    pub(crate) fn knows(&self, thread: &str, turn: &str) -> bool {
        let state = self.lock();
        let track = state.threads.get(thread);
        track.is_some_and(|track| track.turns.contains_key(turn))
    }

    /// Whether a request that starts a turn is in flight.
    pub(crate) fn is_starting(&self, thread: &str) -> bool {
        let state = self.lock();
        let track = state.threads.get(thread);
        track.is_some_and(|track| track.starting > 0)
    }

    /// Records the end of a turn that the server reported only when asked.
    pub(crate) fn recovered(&self, thread: &str, turn: &str, status: &TurnStatus) {
        self.log.recovered(thread, turn, status.clone());
        let state = &mut *self.lock();
        if let Some(track) = state.threads.get_mut(thread) {
            track.end(turn, status, &mut state.news);
        }
        state.tidy(thread);
    }

    /// Records that a turn is not running, although the server has not reported its end.
    pub(crate) fn lost_end(&self, thread: &str, turn: &str) {
        self.log.lost(thread, turn);
        let state = &mut *self.lock();
        if let Some(track) = state.threads.get_mut(thread) {
            track.active.take_if(|active| active.is(turn));
        }
        state.tidy(thread);
    }

    /// When the limits that are used up reset; `None` if no limit is used up, or if the server did
    /// not say when.
    pub(crate) fn limit_resets_at(&self) -> Option<SystemTime> {
        self.lock().limits.resets_at(SystemTime::now())
    }
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").finish_non_exhaustive()
    }
}

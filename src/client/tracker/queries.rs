//! What is known about threads and turns, for those who ask.

use std::{pin::pin, time::SystemTime};

use super::{Agent, Standing, StartedBy, ThreadEntry, Tracker, turn::TurnEntry};

impl Tracker {
    /// The state of a turn; `None` if no event and no response has named the turn.
    pub(crate) fn standing(&self, thread: &str, turn: &str) -> Option<Standing> {
        let standing = self.turn(thread, turn, |turn| turn.standing.clone());
        standing.filter(|standing| *standing != Standing::Unknown)
    }

    /// The state of the last turn of a thread.
    pub(crate) fn last_standing(&self, thread: &str) -> Option<Standing> {
        self.thread(thread, |thread| Some(thread.last()?.standing.clone()))?
    }

    /// The running turn of a thread, or the one that is about to start.
    pub(crate) fn running(&self, thread: &str) -> Option<String> {
        self.thread(thread, |thread| Some(thread.running()?.id.clone()))?
    }

    /// All running turns, with their threads.
    pub(crate) fn all_running(&self) -> Vec<(String, String)> {
        let state = self.lock();
        let running = state.threads.iter().flat_map(|(thread, entry)| {
            let turns = entry.turns.iter().filter(|turn| turn.is_running());
            turns.map(move |turn| (thread.clone(), turn.id.clone()))
        });
        running.collect()
    }

    /// The id that the items of a turn carry.
    pub(crate) fn canonical(&self, thread: &str, turn: &str) -> String {
        let id = self.turn(thread, turn, |turn| turn.id.clone());
        id.unwrap_or_else(|| turn.to_owned())
    }

    /// The id by which the server knows this turn. The id of a review changes as the review starts.
    pub(crate) fn server_id(&self, thread: &str, turn: &str) -> String {
        let id = self.turn(thread, turn, |turn| turn.server_id().to_owned());
        id.unwrap_or_else(|| turn.to_owned())
    }

    /// Whether a turn was started here, or somebody holds a guard of it, under exactly this id.
    pub(crate) fn holds(&self, thread: &str, turn: &str) -> bool {
        let holds = |entry: &TurnEntry| entry.id == turn && entry.held.is_some();
        self.turn(thread, turn, holds).unwrap_or(false)
    }

    /// Whether a request that starts a turn is in flight.
    pub(crate) fn is_starting(&self, thread: &str) -> bool {
        self.thread(thread, |thread| thread.starting > 0)
            .unwrap_or(false)
    }

    /// Whether the server has reported that nothing runs on the thread, although the turn has begun
    /// and its end was not reported.
    pub(crate) fn lacks_end(&self, thread: &str, turn: &str) -> bool {
        self.thread(thread, |thread| thread.lacks_end(turn))
            .unwrap_or(false)
    }

    /// Whether this line was the first to name the turn.
    pub(crate) fn is_first(&self, thread: &str, turn: &str, seq: u64) -> bool {
        self.turn(thread, turn, |turn| turn.is_first(seq))
            .unwrap_or(false)
    }

    /// Whether the turn had no events before this line.
    pub(crate) fn begins_with(&self, thread: &str, turn: &str, seq: u64) -> bool {
        self.turn(thread, turn, |turn| turn.begins_with(seq))
            .unwrap_or(false)
    }

    pub(crate) fn started_by(&self, thread: &str, turn: &str) -> StartedBy {
        let is_agent = self.lock().agents.is_agent(thread);
        let by = self.turn(thread, turn, |turn| turn.started_by(is_agent));
        by.unwrap_or(StartedBy::Unknown)
    }

    pub(crate) fn is_goal_active(&self, thread: &str) -> bool {
        self.thread(thread, |thread| thread.goal_active)
            .unwrap_or(false)
    }

    /// The model of a thread, if the server reported the thread's settings.
    pub(crate) fn model(&self, thread: &str) -> Option<String> {
        self.thread(thread, |thread| thread.model.clone())?
    }

    /// The items of a turn's commands that have not ended.
    pub(crate) fn commands(&self, thread: &str, turn: &str) -> Vec<String> {
        self.turn(thread, turn, |turn| turn.commands.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn agents_of_turn(&self, thread: &str, turn: &str) -> Vec<Agent> {
        self.lock().agents.of_turn(thread, turn)
    }

    pub(crate) fn agents_of_thread(&self, thread: &str) -> Vec<Agent> {
        self.lock().agents.of_thread(thread)
    }

    /// When the limits that are used up reset; `None` if no limit is used up, or if the server did
    /// not say when.
    pub(crate) fn limit_resets_at(&self) -> Option<SystemTime> {
        self.lock().limits.resets_at(SystemTime::now())
    }

    /// Waits until no known turn runs on any of these threads.
    pub(crate) async fn idle(&self, threads: &[String]) {
        let is_idle = |thread: &String| self.running(thread).is_none();
        self.until(|| threads.iter().all(is_idle).then_some(()))
            .await;
    }

    /// Waits until `holds` returns a value. Checks again whenever a turn begins, ends or shows its
    /// first item, and whenever a thread is no longer followed.
    pub(crate) async fn until<T>(&self, holds: impl Fn() -> Option<T>) -> T {
        loop {
            // NB. Register first: a change after this line wakes the wait below.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = holds() {
                return found;
            }
            changed.await;
        }
    }

    pub(super) fn thread<T>(&self, thread: &str, get: impl FnOnce(&ThreadEntry) -> T) -> Option<T> {
        self.lock().threads.get(thread).map(get)
    }

    pub(super) fn turn<T>(
        &self,
        thread: &str,
        turn: &str,
        get: impl FnOnce(&TurnEntry) -> T,
    ) -> Option<T> {
        self.lock().threads.get(thread)?.find(turn).map(get)
    }
}

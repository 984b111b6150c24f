//! Stopping everything that runs on a thread, in the order that leaves nothing running: the goal,
//! the turn, the sub-agents, the shells.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    client::handle::CasClient,
    client::time,
    error::Error,
    protocol::{
        ThreadGoalGetParams, ThreadGoalSetParams, ThreadGoalStatus, ThreadListParams, ThreadStatus,
        TurnInterruptParams,
    },
    thread::Thread,
    thread::status::is_active,
    thread::terminals::Terminal,
};

/// How long a turn may take to end before it is interrupted again.
const AGAIN: Duration = Duration::from_millis(250);
/// A goal starts its next turn within this time of the end of the previous turn.
const SETTLED: Duration = Duration::from_millis(60);
/// The pause before the server is asked again.
const SHORT: Duration = Duration::from_millis(20);
/// How many times in a row the server may report that nothing runs before a turn's missing end is
/// no longer waited for.
const SILENCES: usize = 3;
/// The number of searches for sub-agents: a sub-agent that is being stopped may just have spawned
/// another.
const ROUNDS: usize = 4;

/// What [`Thread::stop_all`] or [`CasClient::stop_all`] stopped, and what could not be stopped.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it says what could not be stopped"]
pub struct StopReport {
    /// The threads whose goal was active and is now paused.
    pub goals: Vec<String>,
    /// The turns that were running and have ended, each with its thread. The turns of sub-agents
    /// are included.
    pub turns: Vec<(String, String)>,
    /// The commands that were running and were ended.
    pub terminals: Vec<Terminal>,
    /// The steps that failed, in the order in which they were tried.
    pub failures: Vec<StopFailure>,
}

/// A step of a stop that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct StopFailure {
    /// The thread that the step was about.
    pub thread_id: String,
    /// Why the step failed; the error names the method. A [`Timeout`](Error::Timeout) of
    /// `turn/completed` means that the turn still runs.
    pub error: Error,
}

impl StopReport {
    /// Whether nothing is left running, as far as the server says.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    fn extend(&mut self, other: Self) {
        self.goals.extend(other.goals);
        self.turns.extend(other.turns);
        self.terminals.extend(other.terminals);
        self.failures.extend(other.failures);
    }

    fn fail(&mut self, thread: &Thread, error: Error) {
        let thread_id = thread.id().to_owned();
        self.failures.push(StopFailure { thread_id, error });
    }
}

impl Thread {
    /// Stops everything that runs on this thread. `stop_all` pauses an active goal
    /// (`thread/goal/set`), interrupts the running or starting turn (`turn/interrupt` without an
    /// id), and interrupts the turns of the sub-agents in the same way. It waits up to `grace` for
    /// all these turns to end. Then it ends the commands that the agents have left running
    /// (`thread/backgroundTerminals/clean`).
    ///
    /// `stop_all` never fails as a whole: the report says what could not be stopped. Each request
    /// has the deadline of [urgent](crate::Builder::urgent_timeout) requests. After an interrupt,
    /// the server holds the inputs in the thread's queue. `stop_all` stops turns whoever started
    /// them. On a shared server, that includes the turns of other clients.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) {
    /// use std::time::Duration;
    /// let report = thread.stop_all(Duration::from_secs(5)).await;
    /// for failure in &report.failures {
    ///     eprintln!("{}: {}", failure.thread_id, failure.error);
    /// }
    /// # }
    /// ```
    pub async fn stop_all(&self, grace: Duration) -> StopReport {
        let deadline = time::deadline(grace);
        let tracker = self.client().tracker();
        let mut report = StopReport::default();
        match pause_goal(self).await {
            Ok(true) => report.goals.push(self.id().to_owned()),
            Ok(false) => {}
            Err(error) => report.fail(self, error),
        }
        let mut ran = Vec::new();
        let tree = interrupt_tree(self, &mut ran, &mut report).await;
        let ids: Vec<String> = tree.iter().map(|thread| thread.id().to_owned()).collect();
        let had_goal = !report.goals.is_empty();
        let mut silences = 0;
        loop {
            let patience = deadline.min(Instant::now() + AGAIN);
            if timeout_at(patience, tracker.idle(&ids)).await.is_ok() && had_goal {
                // Another turn may have been about to begin when the goal was paused.
                let begun = tracker.until(|| ids.iter().find_map(|id| tracker.running(id)));
                let _ = timeout(SETTLED, begun).await;
            }
            let (mut active, mut silent) = (Vec::new(), Vec::new());
            for thread in &tree {
                let is_active = is_active(thread).await;
                match (is_active, tracker.running(thread.id())) {
                    (Ok(false) | Err(_), None) => {}
                    (Ok(false), Some(turn)) => silent.push((thread, turn)),
                    (Ok(true), _) | (Err(_), Some(_)) => active.push(thread),
                }
            }
            // A turn ends just after its thread becomes idle, unless the server fails to report the
            // end.
            silences = if active.is_empty() { silences + 1 } else { 0 };
            let patient = silences <= SILENCES && Instant::now() < deadline;
            if active.is_empty() && (silent.is_empty() || !patient) {
                for (thread, turn) in silent {
                    self.client().tracker().lost_end(thread.id(), &turn);
                }
                break;
            }
            active.extend(silent.into_iter().map(|(thread, _)| thread));
            if Instant::now() >= deadline {
                for thread in active {
                    report.fail(thread, Error::timeout("turn/completed", grace));
                }
                break;
            }
            for thread in active {
                // The turn may have begun since. A failed interrupt shows in what still runs.
                let _ = interrupt_noted(thread, &mut ran).await;
            }
            // The server says that a thread is active before it names the turn, and after that
            // turn's end.
            tokio::time::sleep(SHORT).await;
        }
        ran.sort();
        ran.dedup();
        ran.retain(|(thread, turn)| tracker.running(thread).as_ref() != Some(turn));
        report.turns = ran;
        for thread in &tree {
            match end_terminals(thread).await {
                Ok(ended) => report.terminals.extend(ended),
                Err(error) => report.fail(thread, error),
            }
        }
        report
    }
}

impl CasClient {
    /// Calls [`Thread::stop_all`] on all threads that this connection follows, concurrently.
    pub async fn stop_all(&self, grace: Duration) -> StopReport {
        let followed = self.tracker().followed().into_iter();
        let stops = followed.map(|id| async move { self.thread(id).stop_all(grace).await });
        let mut report = StopReport::default();
        for one in join_all(stops).await {
            report.extend(one);
        }
        let mut seen = HashSet::new();
        report.turns.retain(|turn| seen.insert(turn.clone()));
        report
    }
}

/// Pauses the goal of a thread if it is active, and returns whether it was. A thread that can't
/// have a goal has none.
pub(crate) async fn pause_goal(thread: &Thread) -> Result<bool, Error> {
    let client = thread.client();
    let get = ThreadGoalGetParams::new(thread.id());
    let goal = match client.request(get).urgent().await {
        Ok(got) => got.goal,
        Err(error) if error.rpc().is_some() => None,
        Err(error) => return Err(error),
    };
    if goal.is_none_or(|goal| goal.status != ThreadGoalStatus::Active) {
        return Ok(false);
    }
    let set = ThreadGoalSetParams::new(thread.id()).status(ThreadGoalStatus::Paused);
    client.request(set).urgent().await?;
    Ok(true)
}

/// Interrupts the running or starting turn. The server takes an empty id for that.
pub(crate) async fn interrupt(thread: &Thread) -> Result<(), Error> {
    let params = TurnInterruptParams::new(thread.id(), "");
    match thread.client().request(params).urgent().await {
        // Nothing can run on a thread that is not loaded.
        Err(error) if error.rpc().is_some() && !matches!(is_active(thread).await, Ok(true)) => {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Interrupts a thread, and adds its running turn to those that `ran`.
async fn interrupt_noted(thread: &Thread, ran: &mut Vec<(String, String)>) -> Result<(), Error> {
    let running = thread.client().tracker().running(thread.id());
    ran.extend(running.map(|turn| (thread.id().to_owned(), turn)));
    interrupt(thread).await
}

/// Interrupts a thread and the threads of its sub-agents, and returns them. Agents that start
/// meanwhile are found in a further round.
async fn interrupt_tree(
    thread: &Thread,
    ran: &mut Vec<(String, String)>,
    report: &mut StopReport,
) -> Vec<Thread> {
    let mut tree = vec![thread.clone()];
    let mut known = HashSet::from([thread.id().to_owned()]);
    let mut done = 0;
    for _ in 0..ROUNDS {
        for thread in &tree[done..] {
            if let Err(error) = interrupt_noted(thread, ran).await {
                report.fail(thread, error);
            }
        }
        done = tree.len();
        let (agents, error) = agents(thread).await;
        if let Some(error) = error {
            report.fail(thread, error);
        }
        let new = agents.into_iter().filter(|id| known.insert(id.clone()));
        tree.extend(new.map(|id| thread.client().thread(id)));
        if tree.len() == done {
            break;
        }
    }
    tree
}

/// The threads of the sub-agents that are known here, and of those that the server says are active.
async fn agents(thread: &Thread) -> (Vec<String>, Option<Error>) {
    let client = thread.client();
    let known = client.tracker().agents_of_thread(thread.id());
    let mut agents: Vec<String> = known.into_iter().map(|agent| agent.thread).collect();
    let params = ThreadListParams::default().ancestor_thread_id(thread.id());
    let listed = client.pages(params).timeout(client.urgent_timeout()).all();
    let error = match timeout(client.urgent_timeout(), listed).await {
        Ok(Ok(listed)) => {
            let active = listed
                .into_iter()
                .filter(|t| matches!(t.status, ThreadStatus::Active(_)));
            agents.extend(active.map(|thread| thread.id));
            None
        }
        // A thread that is not stored has no stored children.
        Ok(Err(error)) if error.rpc().is_some() => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(Error::timeout("thread/list", client.urgent_timeout())),
    };
    (agents, error)
}

async fn end_terminals(thread: &Thread) -> Result<Vec<Terminal>, Error> {
    let terminals = match thread.terminals().await {
        Ok(terminals) => terminals,
        // A thread that is not loaded has no terminals.
        Err(error) if error.rpc().is_some() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if !terminals.is_empty() {
        thread.end_terminals().await?;
    }
    Ok(terminals)
}

//! `cas threads stop`: ends everything that a thread runs.

use std::time::Duration;

use cas_sdk::{Thread, thread::StopReport};
use serde::Serialize;

use crate::{
    failure::done_if,
    output::{Result, fail, field, json as json_line, line},
    reason::reason,
};

/// How long the turns may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What was stopped, as JSON. `docs/json.md` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    thread_id: &'a str,
    /// The threads whose goals were paused.
    goals: &'a [String],
    turns: Vec<Turn<'a>>,
    shells: Vec<Shell<'a>>,
    failures: Vec<Failed<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Turn<'a> {
    thread_id: &'a str,
    turn_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shell<'a> {
    item_id: &'a str,
    command: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed<'a> {
    thread_id: &'a str,
    error: String,
}

pub(super) async fn run(thread: &Thread, json: bool) -> Result {
    let stopped = thread.stop_all(GRACE).await;
    if json {
        json_line(&report(thread.id(), &stopped))?;
    } else {
        print(thread.id(), &stopped)?;
    }
    done_if(stopped.is_complete())
}

fn report<'a>(id: &'a str, stopped: &'a StopReport) -> Report<'a> {
    let turns = stopped
        .turns
        .iter()
        .map(|(thread_id, turn_id)| Turn { thread_id, turn_id });
    let shells = stopped.terminals.iter().map(|shell| Shell {
        item_id: shell.item_id(),
        command: shell.command(),
    });
    let failures = stopped.failures.iter().map(|failure| Failed {
        thread_id: &failure.thread_id,
        error: reason(&failure.error),
    });
    Report {
        thread_id: id,
        goals: &stopped.goals,
        turns: turns.collect(),
        shells: shells.collect(),
        failures: failures.collect(),
    }
}

fn print(id: &str, stopped: &StopReport) -> Result {
    for goal in &stopped.goals {
        line(format_args!("paused the goal of {}", field(goal)))?;
    }
    for (thread, turn) in &stopped.turns {
        line(format_args!(
            "interrupted turn {} of {}",
            field(turn),
            field(thread)
        ))?;
    }
    for shell in &stopped.terminals {
        line(format_args!("ended {}", field(shell.command())))?;
    }
    for failure in &stopped.failures {
        let error = reason(&failure.error);
        fail(&format!("{}: {error}", failure.thread_id));
    }
    let nothing =
        stopped.goals.is_empty() && stopped.turns.is_empty() && stopped.terminals.is_empty();
    if nothing && stopped.is_complete() {
        let id = field(id);
        line(format_args!(
            "nothing runs of {id} here, and no goal is active"
        ))?;
    }
    Ok(())
}

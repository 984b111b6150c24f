//! `cas goal`: the goal of a thread.

use std::time::Duration;

use cas_sdk::{
    CasClient, Thread,
    protocol::{ThreadGoal, ThreadResumeParams},
    thread::GoalOnResume,
    turn::{Goal, GoalEnd, GoalEvent, GoalOutcome, GoalState, SetGoal},
};
use serde_json::{Value, json, value::RawValue};
use tokio::time::timeout;

use crate::{
    failure::{DONE, FAILED, TIMED_OUT},
    input::text,
    output::{Failure, Members, Result, complain, field, json as json_line, line},
    server::{OneThread, close_in_time, parsed, thread_named},
    signals::{INTERRUPT, Signals},
    when::duration,
};

/// Show, set, pause or remove the goal of a thread, or wait for its end.
///
/// When `set` or `wait` ends, for whatever reason, the goal is paused.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 done or reached, 1 failed or not reached, 2 wrong usage, 124 a limit was reached, 130 interrupted."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show it
    Get(OneThread),
    /// Set it, and follow it to its end
    Set {
        #[command(flatten)]
        one: OneThread,
        /// The objective; `-` reads it from stdin
        objective: String,
        /// How many turns it may take
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        turns: u32,
        /// How many tokens it may use
        #[arg(long, value_name = "N")]
        tokens: Option<u64>,
        /// How long it may take: 90s, 5m, 2h
        #[arg(long, value_name = "TIME", value_parser = duration)]
        time: Option<Duration>,
    },
    /// Pause it
    Pause(OneThread),
    /// Remove it
    Clear(OneThread),
    /// Continue it, and follow it to its end
    Wait(OneThread),
}

/// A goal that may take so many turns, and tokens.
pub(super) fn limited(goal: SetGoal, turns: u32, tokens: Option<u64>) -> SetGoal {
    let goal = goal.max_turns(turns);
    match tokens {
        Some(tokens) => goal.max_tokens(tokens),
        None => goal,
    }
}

impl Args {
    fn one(&self) -> &OneThread {
        match &self.action {
            Action::Get(one)
            | Action::Pause(one)
            | Action::Clear(one)
            | Action::Wait(one)
            | Action::Set { one, .. } => one,
        }
    }

    pub(crate) fn json(&self) -> bool {
        self.one().json
    }
}

/// Returns the exit status.
pub(crate) async fn run(mut args: Args, signals: &mut Signals) -> Result<u8> {
    if let Action::Set { objective, .. } = &mut args.action {
        *objective = signals.or(text("the objective", objective)).await?;
    }
    let client = signals.or(args.one().server.client()).await?;
    let done = act(&args, &client, signals).await;
    let is_late = matches!(done, Err(Failure::Signal(_)));
    close_in_time(&client, is_late, signals).await?;
    done
}

async fn act(args: &Args, client: &CasClient, signals: &mut Signals) -> Result<u8> {
    match signals.or(begin(args, client)).await? {
        Some(goal) => follow(goal, args.one().json, signals).await,
        None => Ok(DONE),
    }
}

/// Performs the action. Returns the goal if the command then follows it to its end.
async fn begin(args: &Args, client: &CasClient) -> Result<Option<Goal>> {
    let one = args.one();
    let id = thread_named(client, &one.thread).await?;
    match &args.action {
        Action::Get(_) => match client.thread(id.as_str()).goal().await? {
            Some(goal) => show(goal.info(), one.json)?,
            None => return Err(NO_GOAL.into()),
        },
        Action::Pause(_) => pause(client, one, &id).await?,
        Action::Clear(_) => {
            present(client, &id).await?;
            let answer = call(client, "thread/goal/clear", &json!({"threadId": id})).await?;
            one.report(&answer, format_args!("removed the goal of {}", field(&id)))?;
        }
        Action::Set {
            objective,
            turns,
            tokens,
            time,
            ..
        } => {
            let thread = resumed(client, one, &id).await?;
            let mut goal = limited(thread.set_goal(objective).replace(), *turns, *tokens);
            if let Some(time) = time {
                goal = goal.max_time(*time);
            }
            return Ok(Some(goal.await?));
        }
        Action::Wait(_) => {
            let thread = resumed(client, one, &id).await?;
            let goal = thread.goal().await?.ok_or(NO_GOAL)?;
            goal.resume().await?;
            return Ok(Some(goal));
        }
    }
    Ok(None)
}

const NO_GOAL: &str = "the thread has no goal";

async fn call(client: &CasClient, method: &str, params: &Value) -> Result<Box<RawValue>> {
    Ok(client.call(method, params).await?)
}

/// The server's response with the goal of the thread, and the status of the goal.
async fn present(client: &CasClient, id: &str) -> Result<(Box<RawValue>, String)> {
    let answer = call(client, "thread/goal/get", &json!({"threadId": id})).await?;
    match parsed(&answer)["goal"]["status"].as_str() {
        Some(status) => Ok((answer, status.to_owned())),
        None => Err(NO_GOAL.into()),
    }
}

async fn pause(client: &CasClient, one: &OneThread, id: &str) -> Result {
    let (answer, status) = present(client, id).await?;
    if status != "active" {
        let text = format_args!(
            "the goal of {} is {}: it does not go on by itself",
            field(id),
            field(&status)
        );
        return one.report(&answer, text);
    }
    let params = json!({"threadId": id, "status": "paused"});
    let answer = call(client, "thread/goal/set", &params).await?;
    one.report(&answer, format_args!("paused the goal of {}", field(id)))
}

/// The thread, with a goal that does not go on before it is asked to.
async fn resumed(client: &CasClient, one: &OneThread, id: &str) -> Result<Thread> {
    let mut params = ThreadResumeParams::new(id);
    params.cwd = one.server.other_dir()?;
    Ok(client
        .resume_thread(params)
        .goal(GoalOnResume::Pause)
        .await?)
}

async fn follow(mut goal: Goal, json: bool, signals: &mut Signals) -> Result<u8> {
    loop {
        let event = tokio::select! {
            biased;
            caught = signals.next() => {
                let stopped = tokio::select! {
                    stopped = timeout(INTERRUPT, goal.stop()) => stopped,
                    _ = signals.next() => return Err(Failure::Signal(caught)),
                };
                for failure in stopped.into_iter().flat_map(|report| report.failures) {
                    complain(&format!("{}: {}", failure.thread_id, failure.error));
                }
                return Err(Failure::Signal(caught));
            }
            event = goal.next() => event,
        };
        match event.transpose()? {
            Some(GoalEvent::TurnEnded(turn)) if !json => line(&turn.text)?,
            Some(GoalEvent::Ended(outcome)) => return ended(&outcome, json),
            Some(GoalEvent::Dormant) => {
                return Err(
                    "the goal is active, but nothing runs: its turn was interrupted".into(),
                );
            }
            Some(_) => {}
            None => return Err("the connection has ended".into()),
        }
    }
}

fn ended(outcome: &GoalOutcome, json: bool) -> Result<u8> {
    if json {
        // `docs/json.md` shows it.
        json_line(&Members([
            ("end", end_name(&outcome.end).into()),
            ("complete", outcome.is_complete().into()),
            ("turns", outcome.turns.into()),
            ("text", outcome.text.as_str().into()),
            ("status", outcome.goal.status.as_str().into()),
            ("tokensUsed", outcome.goal.tokens_used.into()),
        ]))?;
    } else if !outcome.is_complete() {
        complain(&not_reached(&outcome.end, outcome.turns));
    }
    Ok(status(&outcome.end))
}

/// The exit status of a goal that ended.
pub(super) fn status(end: &GoalEnd) -> u8 {
    match end {
        GoalEnd::State(GoalState::Complete) => DONE,
        GoalEnd::TurnLimit | GoalEnd::TokenLimit | GoalEnd::TimeLimit => TIMED_OUT,
        _ => FAILED,
    }
}

/// Why a goal was not reached, for people.
pub(super) fn not_reached(end: &GoalEnd, turns: u64) -> String {
    let turns = match turns {
        1 => "1 turn".to_owned(),
        n => format!("{n} turns"),
    };
    let why = match end {
        GoalEnd::State(GoalState::Paused) => "it was paused",
        GoalEnd::State(GoalState::Blocked) => "the agent gave up, or a turn failed",
        GoalEnd::State(GoalState::UsageLimited) => "the limit of the account is used up",
        GoalEnd::State(GoalState::BudgetLimited) => "its token budget is used up",
        GoalEnd::State(GoalState::Cleared) => "it was removed",
        GoalEnd::Stopped => "it was stopped",
        GoalEnd::TurnLimit => "its limit of turns is reached; --turns raises it",
        GoalEnd::TokenLimit => "its limit of tokens is reached; --tokens raises it",
        GoalEnd::TimeLimit => "its time limit is reached",
        GoalEnd::Replaced => "another goal has replaced it",
        GoalEnd::ThreadClosed => "the thread was closed",
        other => end_name(other),
    };
    format!("the goal was not reached in {turns}: {why}")
}

/// How a goal ended, in the words of the protocol where it has one.
pub(super) fn end_name(end: &GoalEnd) -> &str {
    match end {
        GoalEnd::State(GoalState::Paused) => "paused",
        GoalEnd::State(GoalState::Blocked) => "blocked",
        GoalEnd::State(GoalState::UsageLimited) => "usageLimited",
        GoalEnd::State(GoalState::BudgetLimited) => "budgetLimited",
        GoalEnd::State(GoalState::Complete) => "complete",
        GoalEnd::State(GoalState::Cleared) => "cleared",
        GoalEnd::State(GoalState::Other(status)) => status,
        GoalEnd::Stopped => "stopped",
        GoalEnd::TurnLimit => "turnLimit",
        GoalEnd::TokenLimit => "tokenLimit",
        GoalEnd::TimeLimit => "timeLimit",
        GoalEnd::Replaced => "replaced",
        GoalEnd::ThreadClosed => "threadClosed",
        _ => "unknown",
    }
}

fn show(goal: &ThreadGoal, json: bool) -> Result {
    if json {
        return json_line(goal);
    }
    line(format_args!(
        "{}: {} ({} tokens, {} s)",
        goal.status, goal.objective, goal.tokens_used, goal.time_used_seconds
    ))
}

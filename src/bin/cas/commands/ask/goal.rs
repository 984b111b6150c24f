//! `cas ask --goal`: a goal, and all turns that work on it as they come.

use std::io::{self, IsTerminal as _};

use cas_sdk::{
    Thread, TurnOutcome,
    protocol::TurnStatus,
    turn::{Goal, GoalEnd, GoalEvent, GoalOutcome, GoalState},
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Args, events::GoalEnded, input::Prepared, show::Show};
use crate::{
    commands::goal::{end_name, limited, not_reached, status},
    failure::{DECLINED, DONE, FAILED, TIMED_OUT},
    output::{Failure, Result, fail, field, remark},
    screen::DIM,
    server::short,
    signals::{INTERRUPT, STOP, Signals},
    waiting::or_never,
};

pub(super) async fn run(
    thread: &Thread,
    args: &Args,
    prepared: Prepared,
    show: &mut Show,
    signals: &mut Signals,
) -> Result<u8> {
    let mut goal = limited(
        thread.set_goal(prepared.prompt).replace(),
        args.turns,
        args.tokens,
    );
    if !args.timeout.is_zero() {
        goal = goal.max_time(args.timeout);
    }
    let set = async { goal.await.map_err(Failure::from) };
    let mut goal = signals.or(set).await?;
    let ended = follow(&mut goal, args, show, signals).await?;
    let text = ended.text.clone();
    let status = say(thread, ended, show).await?;
    if let (DONE | DECLINED, Some(file)) = (status, prepared.output) {
        file.write(&format!("{}\n", text.trim_end_matches('\n')))?;
    }
    Ok(status)
}

/// How following a goal ended.
struct Ended {
    end: String,
    turns: u64,
    text: String,
    tokens_used: i64,
    error: Option<String>,
    exit_status: u8,
}

async fn follow(
    goal: &mut Goal,
    args: &Args,
    show: &mut Show,
    signals: &mut Signals,
) -> Result<Ended> {
    let thread = goal.thread().id().to_owned();
    // The goal has its own time limit. This one is for a server that hangs.
    let patience = args.timeout.saturating_add(STOP).saturating_add(INTERRUPT);
    let too_late = Instant::now()
        .checked_add(patience)
        .filter(|_| !args.timeout.is_zero());
    let mut turns = 0;
    loop {
        let late = or_never(too_late.map(sleep_until));
        let event = tokio::select! {
            biased;
            caught = signals.next() => {
                tokio::select! {
                    _ = timeout(INTERRUPT, goal.stop()) => {}
                    _ = signals.next() => {}
                }
                let text = format!("the goal was interrupted by {}", caught.name());
                return Ok(cut_off(goal, (show, turns), "stopped", caught.status(), text));
            }
            () = late => {
                let _ = timeout(STOP, goal.stop()).await;
                let text = format!("the goal did not end within {}", crate::when::length(args.timeout));
                return Ok(cut_off(goal, (show, turns), "timeLimit", TIMED_OUT, text));
            }
            aside = show.aside() => {
                show.tell(aside).await?;
                continue;
            }
            event = goal.next() => event,
        };
        match event.transpose()? {
            Some(GoalEvent::TurnStarted(turn)) => show.began(&thread, &turn, turns + 1).await?,
            Some(GoalEvent::Turn { event, .. }) => show.event(event).await?,
            Some(GoalEvent::TurnEnded(turn)) => {
                turns += 1;
                turn_ended(*turn, show).await?;
            }
            Some(GoalEvent::Ended(outcome)) => return Ok(ended(&outcome)),
            Some(GoalEvent::Dormant) => {
                let text = "the goal is active, but nothing runs: its turn was interrupted";
                let end = GoalEnd::State(GoalState::Dormant);
                return Ok(cut_off(
                    goal,
                    (show, turns),
                    end_name(&end),
                    FAILED,
                    text.to_owned(),
                ));
            }
            Some(_) => {}
            None => return Err("the connection has ended".into()),
        }
    }
}

async fn turn_ended(turn: TurnOutcome, show: &mut Show) -> Result {
    show.notes().await?;
    let (status, exit_status) = match turn.status {
        TurnStatus::Completed => ("completed", DONE),
        TurnStatus::Interrupted => ("interrupted", crate::failure::INTERRUPTED),
        _ => ("failed", FAILED),
    };
    let error = turn.failure.as_ref().map(ToString::to_string);
    let mut ended = show.ended(turn);
    (ended.status, ended.exit_status, ended.error) = (status, exit_status, error);
    if show.json {
        return show.printer.json(&ended).await;
    }
    show.clear();
    show.new_line().await?;
    if let Some(error) = &ended.error {
        fail(error);
    }
    Ok(())
}

fn ended(outcome: &GoalOutcome) -> Ended {
    let end = end_name(&outcome.end);
    let exit_status = status(&outcome.end);
    Ended {
        error: (exit_status != DONE).then(|| not_reached(&outcome.end, outcome.turns)),
        end: end.to_owned(),
        turns: outcome.turns,
        text: outcome.text.clone(),
        tokens_used: outcome.goal.tokens_used,
        exit_status,
    }
}

fn cut_off(
    goal: &Goal,
    (show, turns): (&Show, u64),
    end: &str,
    exit_status: u8,
    error: String,
) -> Ended {
    Ended {
        end: end.to_owned(),
        turns,
        text: show.text.clone(),
        tokens_used: goal.info().tokens_used,
        error: Some(error),
        exit_status,
    }
}

/// Says how it ended; returns the exit status.
async fn say(thread: &Thread, ended: Ended, show: &mut Show) -> Result<u8> {
    show.spins = false;
    show.clear();
    let _ = timeout(super::LAST_WORDS, show.notes()).await;
    let mut exit_status = ended.exit_status;
    if show.declined > 0 && exit_status == DONE {
        exit_status = DECLINED;
    }
    if show.json {
        let line = GoalEnded {
            thread_id: thread.id(),
            complete: ended.exit_status == DONE,
            end: &ended.end,
            turns: ended.turns,
            text: &ended.text,
            tokens_used: ended.tokens_used,
            declined: show.declined,
            error: ended.error,
            exit_status,
        };
        return show.last(&line, exit_status).await;
    }
    show.new_line().await?;
    if let Some(error) = &ended.error {
        fail(error);
    }
    show.say_declined();
    if !show.quiet && io::stderr().is_terminal() {
        let tokens = ended.tokens_used;
        let id = field(short(thread.id())).into_owned();
        let text = format!("{tokens} tokens · continue: cas ask --thread {id} …");
        remark(DIM, &text);
    }
    Ok(exit_status)
}

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
    let status = say(ended, show).await?;
    if let (DONE | DECLINED, Some(file)) = (status, prepared.output) {
        file.write(&format!("{}\n", text.trim_end_matches('\n')))?;
    }
    Ok(status)
}

async fn follow(
    goal: &mut Goal,
    args: &Args,
    show: &mut Show,
    signals: &mut Signals,
) -> Result<GoalEnded> {
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
        return show.page.json(&ended).await;
    }
    show.clear();
    show.page.new_line().await?;
    if let Some(error) = &ended.error {
        fail(error);
    }
    Ok(())
}

fn ended(outcome: &GoalOutcome) -> GoalEnded {
    let end = end_name(&outcome.end);
    let exit_status = status(&outcome.end);
    GoalEnded {
        thread_id: outcome.goal.thread_id.clone(),
        complete: exit_status == DONE,
        declined: 0,
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
) -> GoalEnded {
    GoalEnded {
        thread_id: goal.thread().id().to_owned(),
        end: end.to_owned(),
        complete: false,
        turns,
        declined: 0,
        text: show.text.clone(),
        tokens_used: goal.info().tokens_used,
        error: Some(error),
        exit_status,
    }
}

/// Says how it ended; returns the exit status.
async fn say(mut ended: GoalEnded, show: &mut Show) -> Result<u8> {
    show.spins = false;
    show.clear();
    let _ = timeout(super::LAST_WORDS, show.notes()).await;
    ended.declined = show.declined;
    if ended.declined > 0 && ended.exit_status == DONE {
        ended.exit_status = DECLINED;
    }
    if show.json {
        return show.last(&ended, ended.exit_status).await;
    }
    show.page.new_line().await?;
    if let Some(error) = &ended.error {
        fail(error);
    }
    show.say_declined();
    if !show.quiet && io::stderr().is_terminal() {
        let tokens = ended.tokens_used;
        let id = field(short(&ended.thread_id)).into_owned();
        let text = format!("{tokens} tokens · continue: cas ask --thread {id} …");
        remark(DIM, &text);
    }
    Ok(ended.exit_status)
}

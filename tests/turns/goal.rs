//! Goals: one piece of work over many turns that the server starts by itself.

use std::time::Duration;

use cas_sdk::{
    Error, Filter,
    protocol::{ThreadGoalStatus, TurnStatus},
    testing::{Gate, Reply},
    thread::GoalOnResume,
    turn::{Goal, GoalEnd, GoalEvent, GoalState, StartedBy},
};
use serde_json::json;

use crate::common::{Rig, codex_test};

fn complete() -> Reply {
    Reply::new().function_call("done", "update_goal", json!({"status": "complete"}))
}

#[tokio::test]
async fn a_goal_is_one_stream_over_its_turns_and_ends_when_the_model_says_so() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("step one"));
        rig.model.reply(Reply::text("step two"));
        rig.model.reply(complete());
        rig.model.reply(Reply::text("all done"));
        let mut goal = thread.set_goal("Count to three").await.unwrap();
        let mut told = Vec::new();
        let outcome = loop {
            match goal.next().await.unwrap().unwrap() {
                GoalEvent::TurnStarted(_) => told.push("began".to_owned()),
                GoalEvent::TurnEnded(outcome) => told.push(outcome.text),
                GoalEvent::Ended(outcome) => break outcome,
                _ => {}
            }
        };
        assert_eq!(
            told,
            [
                "began", "step one", "began", "step two", "began", "all done"
            ]
        );
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!((outcome.turns, outcome.text.as_str()), (3, "all done"));
        assert!(outcome.goal.tokens_used > 0);
        assert!(goal.next().await.is_none());
        let last = outcome.last_turn.unwrap();
        let last = thread.turn(&last.turn_id).await.unwrap();
        assert_eq!(last.started_by(), StartedBy::Goal);
        assert!(!last.has_active_goal());
        let stored = thread.goal().await.unwrap().unwrap();
        assert_eq!(stored.state(), GoalState::Complete);
        // A new one begins with nothing used.
        rig.model.reply(complete());
        rig.model.reply(Reply::text("again"));
        let goal = thread
            .set_goal("Once more")
            .token_budget(100_000)
            .await
            .unwrap();
        assert_eq!(goal.info().tokens_used, 0);
        assert_eq!(goal.finish().await.unwrap().turns, 1);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn sixty_stopped_goals_leave_no_late_turn() {
    codex_test(240, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.otherwise(Reply::text("still going"));
        let mut late = 0;
        for round in 0..60 {
            let mut goal = thread.set_goal("Go on for ever").await.unwrap();
            // Stopped at any moment: at once, in the first turn, after some.
            let mut seen = 0;
            while seen < round % 4 {
                if let GoalEvent::TurnEnded(_) = goal.next().await.unwrap().unwrap() {
                    seen += 1;
                }
            }
            let report = goal.stop().await;
            assert!(report.is_complete(), "round {round}: {report:?}");
            let asked = rig.model.requests().len();
            let outcome = goal.finish().await.unwrap();
            assert_eq!(outcome.end, GoalEnd::Stopped, "round {round}");
            assert!(client.running_turns().is_empty());
            // A request that is answered after it would come after a turn that had begun.
            assert!(thread.goal().await.unwrap().unwrap().state() == GoalState::Paused);
            tokio::time::sleep(Duration::from_millis(60)).await;
            late += rig.model.requests().len() - asked;
            assert!(client.running_turns().is_empty());
        }
        assert_eq!(late, 0, "turns that began after the goal was stopped");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_goal_ends_at_its_limit_of_turns_though_nobody_reads_it() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.otherwise(Reply::text("still going"));
        let goal = thread.set_goal("Talk").max_turns(3).await.unwrap();
        let mut paused = client.events(Filter::all().method("thread/goal/updated"));
        while !paused
            .next()
            .await
            .unwrap()
            .unwrap()
            .json()
            .contains(r#""status":"paused""#)
        {}
        let outcome = goal.finish().await.unwrap();
        assert_eq!((outcome.end, outcome.turns), (GoalEnd::TurnLimit, 3));
        assert_eq!(outcome.last_turn.unwrap().status, TurnStatus::Completed);
        assert_eq!(rig.model.requests().len(), 3);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_goal_ends_at_its_limits_of_time_and_of_tokens() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .otherwise(Reply::new().delta("hm").hold(&Gate::new()));
        let goal = thread.set_goal("Wait").max_time(Duration::from_millis(400));
        let outcome = goal.await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.end, GoalEnd::TimeLimit);
        assert_eq!(outcome.last_turn.unwrap().status, TurnStatus::Interrupted);
        rig.model.otherwise(Reply::text("still going"));
        let goal = thread.set_goal("Spend").max_tokens(40).await.unwrap();
        let outcome = goal.finish().await.unwrap();
        assert_eq!(outcome.end, GoalEnd::TokenLimit);
        assert!(outcome.goal.tokens_used > 40, "{outcome:?}");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_goal_is_dormant_and_can_be_resumed() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::new().delta("hm").hold(&Gate::new()));
        let mut goal = thread.set_goal("Reach it").await.unwrap();
        rig.model.next_request().await;
        while goal.turn().is_none() {
            goal.next().await.unwrap().unwrap();
        }
        goal.turn().unwrap().interrupt().await.unwrap();
        while !matches!(goal.next().await.unwrap().unwrap(), GoalEvent::Dormant) {}
        assert_eq!(goal.state(), GoalState::Dormant);
        assert_eq!(goal.info().status, ThreadGoalStatus::Active);
        rig.model.reply(complete());
        rig.model.reply(Reply::text("reached"));
        goal.resume().await.unwrap();
        let outcome = goal.finish().await.unwrap();
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!(outcome.turns, 2);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_goal_is_paused_and_a_detached_one_goes_on() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .otherwise(Reply::new().delta("hm").hold(&Gate::new()));
        let mut told = client.events(
            Filter::all()
                .method("thread/goal/updated")
                .method("turn/completed"),
        );
        let goal = thread.set_goal("Reach it").await.unwrap();
        rig.model.next_request().await;
        drop(goal);
        let (mut paused, mut interrupted) = (false, false);
        while !(paused && interrupted) {
            let event = told.next().await.unwrap().unwrap();
            paused |= event.json().contains(r#""status":"paused""#);
            interrupted |= event.json().contains(r#""status":"interrupted""#);
        }
        thread.set_goal("Reach it").await.unwrap().detach();
        rig.model.next_request().await;
        let error = thread.set_goal("Another").await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("active goal")),
            "{error:?}"
        );
        let mut joined = thread.goal().await.unwrap().unwrap();
        while joined.turn().unwrap().started_by() == StartedBy::Unknown {
            joined.next().await.unwrap().unwrap();
        }
        assert_eq!(
            (joined.state(), joined.turn().unwrap().started_by()),
            (GoalState::Active, StartedBy::Goal)
        );
        drop(joined);
        let turn = thread.running_turn().await.unwrap().expect("it goes on");
        // What is asked now joins the turn of the goal, and says so.
        let asked = thread.ask("hello?").await.unwrap();
        assert!(asked.joined() && asked.has_active_goal());
        assert_eq!(
            (asked.id(), asked.started_by()),
            (turn.id(), StartedBy::Goal)
        );
        assert!(thread.stop_all(Duration::from_secs(10)).await.is_complete());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_goal_that_another_replaces_or_clears_has_ended() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.otherwise(Reply::text("still going"));
        let mut goal = thread.set_goal("First").await.unwrap();
        while !matches!(goal.next().await.unwrap().unwrap(), GoalEvent::TurnEnded(_)) {}
        goal.clear().await.unwrap();
        assert_eq!(
            goal.finish().await.unwrap().end,
            GoalEnd::State(GoalState::Cleared)
        );
        assert!(thread.goal().await.unwrap().is_none());
        let blank = thread.set_goal("").await.unwrap_err();
        assert!(blank.to_string().contains("must not be empty"), "{blank}");
        client.shutdown().await;
    })
    .await;
}

async fn with_active_goal(rig: &Rig) -> String {
    let (client, thread) = rig.thread().await;
    rig.model.reply(Reply::text("hello"));
    thread.ask("hi").await.unwrap().finish().await.unwrap();
    rig.model.reply(Reply::new().delta("hm").hold(&Gate::new()));
    let before = rig.model.request_count();
    let goal: Goal = thread.set_goal("Reach it").await.unwrap();
    rig.model.wait_for_requests(before + 1).await;
    goal.detach();
    client.shutdown().await;
    thread.id().to_owned()
}

#[tokio::test]
async fn a_resumed_thread_goes_on_with_its_goal_or_has_it_paused_first() {
    codex_test(90, async |rig| {
        let id = with_active_goal(&rig).await;
        let client = rig.client().await;
        let thread = client
            .resume_thread(id.as_str())
            .goal(GoalOnResume::Pause)
            .await
            .unwrap();
        let goal = thread.goal().await.unwrap().unwrap();
        assert_eq!(
            (goal.state(), goal.turn().is_none()),
            (GoalState::Paused, true)
        );
        let asked = rig.model.requests().len();
        rig.model.reply(Reply::text("just this"));
        let outcome = thread.ask("hello?").await.unwrap().finish().await.unwrap();
        assert_eq!(
            (outcome.text.as_str(), rig.model.requests().len()),
            ("just this", asked + 1)
        );
        goal.resume().await.unwrap();
        rig.model.reply(complete());
        rig.model.reply(Reply::text("reached"));
        assert!(goal.finish().await.unwrap().is_complete());
        client.shutdown().await;

        let id = with_active_goal(&rig).await;
        let client = rig.client().await;
        rig.model.reply(complete());
        rig.model.reply(Reply::text("reached"));
        let thread = client
            .resume_thread(id.as_str())
            .goal(GoalOnResume::Keep)
            .await
            .unwrap();
        let goal = thread.goal().await.unwrap().unwrap();
        let outcome = goal.finish().await.unwrap();
        assert_eq!(
            outcome.goal.status,
            ThreadGoalStatus::Complete,
            "{outcome:?}"
        );
        client.shutdown().await;
    })
    .await;
}

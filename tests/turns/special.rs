//! Turns of other kinds, and other ways to a turn: reviews, compactions, sends, joins, deadlines, silences.

use std::time::Duration;

use cas_sdk::{
    Error, RpcErrorKind, TurnEvent,
    protocol::{ReviewTarget, ThreadItem, ThreadStartParams, TurnStatus},
    testing::{Gate, Reply},
    turn::{Deadline, SendOutcome, TurnErrorKind},
};
use serde_json::json;

use crate::{common::codex_test, interrupted};

fn review() -> ReviewTarget {
    ReviewTarget::custom("look at it")
}

fn not_steerable(error: &Error, kind: &str) {
    let expected = RpcErrorKind::NotSteerable {
        turn_kind: kind.into(),
    };
    assert_eq!(error.rpc_kind(), Some(expected), "{error:?}");
}

#[tokio::test]
async fn a_review_is_a_turn_whose_text_is_the_review() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("hello"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        rig.model.reply(Reply::text(
            json!({
                "findings": [], "overall_correctness": "patch is correct",
                "overall_explanation": "Nothing to complain about.", "overall_confidence_score": 0.9,
            })
            .to_string(),
        ));
        let turn = thread.review(review()).await.unwrap();
        assert!(!turn.turn().joined());
        let outcome = turn.finish().await.unwrap().turn;
        assert!(outcome.text.contains("Nothing to complain about."), "{outcome:?}");
        let has = |is: fn(&ThreadItem) -> bool| outcome.items.iter().any(|i| is(&i.item));
        assert!(has(|i| matches!(i, ThreadItem::EnteredReviewMode(_))));
        assert!(has(|i| matches!(i, ThreadItem::ExitedReviewMode(_))));
        assert_eq!(
            outcome.usage, None,
            "codex does not tell of a review's tokens"
        );
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn a_review_takes_no_input_and_can_be_interrupted_at_any_moment() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .otherwise(Reply::new().delta("hm").hold(&Gate::new()));
        for pause in [false, true, false, true] {
            let turn = thread.review(review()).await.unwrap();
            if pause {
                let before = rig.model.requests().len();
                rig.model.wait_for_requests(before.max(1)).await;
                not_steerable(&turn.turn().steer("x").await.unwrap_err(), "review");
                not_steerable(&thread.ask("x").await.unwrap_err(), "review");
                not_steerable(&thread.send("x").await.unwrap_err(), "review");
            }
            assert_eq!(turn.interrupt().await.unwrap(), TurnStatus::Interrupted);
            let Err(Error::Turn(error)) = turn.finish().await else {
                panic!("it was interrupted")
            };
            assert!(matches!(error.kind, TurnErrorKind::Interrupted));
        }
        rig.model.reply(Reply::text("fine"));
        let outcome = thread.ask("still there?").await.unwrap().finish().await;
        assert_eq!(outcome.unwrap().text, "fine");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_review_is_interrupted() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .otherwise(Reply::new().delta("hm").hold(&Gate::new()));
        let mut ends = client.events(cas_sdk::Filter::all().method("turn/completed"));
        for waits in [false, true] {
            let turn = thread.review(review()).await.unwrap();
            if waits {
                rig.model.next_request().await;
            }
            drop(turn);
            interrupted(&mut ends).await;
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_compaction_is_a_turn_too() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("hello"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        let gate = Gate::new();
        rig.model
            .reply(Reply::new().hold(&gate).message("a summary"));
        let turn = thread.compact().await.unwrap();
        not_steerable(&turn.steer("x").await.unwrap_err(), "compact");
        not_steerable(&thread.send("x").await.unwrap_err(), "compact");
        gate.open();
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.status, TurnStatus::Completed);
        assert!(
            outcome
                .items
                .iter()
                .any(|i| matches!(i.item, ThreadItem::ContextCompaction(_))),
            "{outcome:?}"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_compaction_ends_the_turn_that_runs_and_can_be_interrupted_itself() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .otherwise(Reply::new().delta("working").hold(&Gate::new()));
        let mut turn = thread.ask("go").await.unwrap();
        while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        let compaction = thread.compact().interrupt_running().await.unwrap();
        assert_ne!(compaction.id(), turn.id());
        let Err(Error::Turn(error)) = turn.finish().await else {
            panic!("it was interrupted")
        };
        assert_eq!(error.outcome.text, "working");
        assert_eq!(
            compaction.interrupt().await.unwrap(),
            TurnStatus::Interrupted
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn send_starts_a_turn_on_a_thread_at_rest_and_steers_one_that_runs() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("one").hold(&gate));
        rig.model.reply(Reply::text("two"));
        let SendOutcome::Started(turn) = thread.send("first").await.unwrap() else {
            panic!("nothing runs")
        };
        rig.model.next_request().await;
        let SendOutcome::Steered(control) = thread.send("second").await.unwrap() else {
            panic!("one runs")
        };
        assert_eq!(control.turn_id(), turn.id());
        gate.open();
        assert_eq!(turn.finish().await.unwrap().text, "two");
        let requests = rig.model.requests();
        assert!(requests[1].user_texts().contains(&"second"));
        rig.model.reply(Reply::text("three"));
        assert!(matches!(
            thread.send("third").await.unwrap(),
            SendOutcome::Started(_)
        ));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_ask_while_a_turn_runs_joins_it_and_both_have_the_whole() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model
            .reply(Reply::new().delta("one ").delta("and ").hold(&gate));
        rig.model.reply(Reply::text("two"));
        let mut first = thread.ask("first").await.unwrap();
        while !matches!(first.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        let second = thread.ask("second").await.unwrap();
        assert!(second.joined() && !first.joined());
        assert_eq!(second.id(), first.id());
        gate.open();
        let (first, second) = tokio::join!(first.finish(), second.finish());
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!((first.text.as_str(), second.text.as_str()), ("two", "two"));
        assert_eq!(first.items.len(), second.items.len());
        assert!(second.joined && !second.recovered);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_silent_turn_can_be_waited_for_again() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model.reply(Reply::new().hold(&gate).message("at last"));
        let ask = thread.ask("hi").idle_check(Duration::from_millis(300));
        let mut turn = ask.await.unwrap();
        assert!(
            turn.wait().await.unwrap().is_none(),
            "codex says that it runs"
        );
        assert!(turn.wait().await.unwrap().is_none());
        gate.open();
        let outcome = turn.wait().await.unwrap().unwrap();
        assert_eq!(
            (outcome.text.as_str(), outcome.recovered),
            ("at last", false)
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_is_steered_to_its_end_at_its_deadline() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .reply(Reply::new().delta("endless ").hold(&Gate::new()));
        rig.model.reply(Reply::text("so far, so good"));
        let mut turn = thread.ask("count the stars").await.unwrap();
        rig.model.next_request().await;
        let deadline = Deadline::after(Duration::from_millis(200))
            .steer("Time is up.")
            .grace(Duration::from_secs(20));
        turn.set_deadline(deadline);
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.text, "so far, so good");
        assert!(
            rig.model.requests()[1]
                .user_texts()
                .contains(&"Time is up.")
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_past_its_deadline_fails_with_what_there_was_and_is_interrupted() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .reply(Reply::new().delta("endless").hold(&Gate::new()));
        let mut ends = client.events(cas_sdk::Filter::all().method("turn/completed"));
        let mut turn = thread.ask("count the stars").await.unwrap();
        while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        let deadline = Deadline::after(Duration::from_millis(100));
        turn.set_deadline(deadline);
        let Err(Error::Turn(error)) = turn.finish().await else {
            panic!("it did not end")
        };
        assert!(
            matches!(error.kind, TurnErrorKind::DeadlinePassed { .. }),
            "{error:?}"
        );
        assert_eq!(error.outcome.text, "endless");
        interrupted(&mut ends).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_ephemeral_thread_has_turns_like_any_other() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let params = ThreadStartParams::default().ephemeral(true);
        let thread = client.start_thread(params).await.unwrap();
        rig.model
            .otherwise(Reply::new().delta("working").hold(&Gate::new()));
        let turn = thread.ask("go").await.unwrap();
        assert_eq!(turn.interrupt().await.unwrap(), TurnStatus::Interrupted);
        rig.model.reply(Reply::text("fine"));
        let outcome = thread.ask("again").await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.text, "fine");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_without_a_history_can_be_compacted_too() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("nothing"));
        let outcome = thread.compact().await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.status, TurnStatus::Completed);
        client.shutdown().await;
    })
    .await;
}

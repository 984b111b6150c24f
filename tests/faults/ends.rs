//! How turns end when the server doesn't say so.

use std::time::Duration;

use cas_sdk::{
    Error, TurnEvent,
    protocol::{ThreadItem, TurnStatus},
    turn::{Deadline, TurnErrorKind},
};
use serde_json::json;

use crate::common::within;
use crate::{T, U, accepted, message, on_record, running, thread_is, turn_error};

#[tokio::test(start_paused = true)]
async fn a_thread_at_rest_without_a_completion_is_looked_up_and_the_outcome_marked() {
    within(60, async {
        let (_client, server, turn) = running().await;
        server.delta(T, U, "m", "half");
        server.status(T, "idle");
        thread_is(&server, "idle");
        on_record(&server, "completed", &[message("m", "half and half")]);
        let begun = tokio::time::Instant::now();
        let outcome = turn.finish().await.unwrap();
        assert!(outcome.recovered);
        assert_eq!(outcome.text, "half and half");
        assert_eq!(outcome.status, TurnStatus::Completed);
        assert_eq!(outcome.duration, Some(Duration::from_millis(7)));
        assert!(outcome.items[0].completed);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "not only after a silence"
        );
        assert_eq!(server.calls("turn/interrupt"), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_completion_that_follows_the_rest_of_the_thread_is_not_asked_for() {
    within(60, async {
        let (_client, server, turn) = running().await;
        server.message(T, U, "m", "fine");
        server.status(T, "idle");
        let finish = tokio::spawn(turn.finish());
        tokio::time::sleep(Duration::from_secs(1)).await; // A second late, but not lost.
        server.turn_completed(T, U, "completed");
        let outcome = finish.await.unwrap().unwrap();
        assert!(!outcome.recovered);
        assert_eq!(server.calls("thread/read"), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_the_turn_before_is_not_that_of_this_one() {
    within(60, async {
        let (_client, server, turn) = accepted().await;
        server.status(T, "idle");
        let finish = tokio::spawn(turn.finish());
        tokio::time::sleep(Duration::from_secs(30)).await;
        server.turn_started(T, U);
        server.message(T, U, "m", "fine");
        server.turn_completed(T, U, "completed");
        assert!(!finish.await.unwrap().unwrap().recovered);
        assert_eq!(server.calls("thread/read"), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silence_is_looked_into_and_ends_a_turn_that_is_over() {
    within(600, async {
        let (_client, server, turn) = running().await;
        server.delta(T, U, "m", "and th");
        thread_is(&server, "idle");
        on_record(&server, "failed", &[]);
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(matches!(error.kind, TurnErrorKind::Failed));
        assert!(error.outcome.recovered);
        assert_eq!(error.outcome.text, "and th", "what was seen stays");
        assert!(!error.outcome.items[0].completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silence_of_a_turn_that_runs_yields_the_turn_which_then_goes_on() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        turn.set_idle_check(Duration::from_secs(5));
        thread_is(&server, "active");
        assert!(turn.wait().await.unwrap().is_none());
        assert!(turn.wait().await.unwrap().is_none());
        assert_eq!(server.calls("thread/read"), 2, "asked each time");
        assert_eq!(server.calls("turn/interrupt"), 0);
        server.message(T, U, "m", "at last");
        server.turn_completed(T, U, "completed");
        let outcome = turn.wait().await.unwrap().unwrap();
        assert_eq!(
            (outcome.text.as_str(), outcome.recovered),
            ("at last", false)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_keep_the_silence_away() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        turn.set_idle_check(Duration::from_secs(5));
        let talk = tokio::spawn({
            let server = server.clone();
            async move {
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_secs(4)).await;
                    server.delta(T, U, "m", ".");
                }
                server.turn_completed(T, U, "completed");
            }
        });
        let outcome = turn.wait().await.unwrap().expect("no silence");
        assert_eq!(outcome.text.len(), 20);
        assert_eq!(server.calls("thread/read"), 0);
        talk.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_asked_is_asked_again() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        turn.set_idle_check(Duration::from_secs(5));
        server.answer("thread/read", |_| {
            Err(cas_sdk::error::RpcError::new(-32603, "disk on fire", None))
        });
        assert!(turn.wait().await.unwrap().is_none());
        thread_is(&server, "idle");
        on_record(&server, "completed", &[message("m", "saved")]);
        assert_eq!(turn.wait().await.unwrap().unwrap().text, "saved");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_keeps_no_record_ends_its_turn_by_what_was_seen() {
    let refuse = |_: &serde_json::Value| {
        let text = "ephemeral threads do not support thread/turns/list";
        Err(cas_sdk::error::RpcError::new(-32600, text, None))
    };
    within(600, async {
        let (_client, server, turn) = running().await;
        thread_is(&server, "idle");
        server.answer("thread/turns/list", refuse);
        server.message(T, U, "m", "all there");
        server.status(T, "idle");
        let outcome = turn.finish().await.unwrap();
        assert_eq!(
            (outcome.text.as_str(), outcome.recovered),
            ("all there", true)
        );

        let (_client, server, turn) = running().await;
        thread_is(&server, "idle");
        server.answer("thread/turns/list", refuse);
        server.delta(T, U, "m", "cut o");
        server.status(T, "idle");
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(matches!(error.kind, TurnErrorKind::Interrupted));
        assert_eq!(error.outcome.text, "cut o");
    })
    .await;
}

#[tokio::test]
async fn a_process_that_dies_in_the_middle_ends_the_turn_with_what_there_was() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.delta(T, U, "m", "famous last wor");
        server.die();
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(matches!(error.kind, TurnErrorKind::Closed(_)));
        assert_eq!(error.outcome.text, "famous last wor");
        assert_eq!(error.outcome.status, TurnStatus::InProgress);
        assert!(!error.outcome.items[0].completed);
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_is_closed_ends_its_turn_by_the_record_or_else_as_closed() {
    within(20, async {
        let (_client, server, turn) = running().await;
        thread_is(&server, "notLoaded");
        on_record(&server, "interrupted", &[]);
        server.notify("thread/closed", json!({"threadId": T}));
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(matches!(error.kind, TurnErrorKind::Interrupted));
        assert!(error.outcome.recovered);

        let (_client, server, turn) = running().await;
        thread_is(&server, "notLoaded");
        on_record(&server, "inProgress", &[]);
        server.notify("thread/deleted", json!({"threadId": T}));
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(
            matches!(error.kind, TurnErrorKind::ThreadClosed),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_end_that_cannot_be_read_is_an_end_all_the_same() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.message(T, U, "m", "text");
        server.notify(
            "turn/completed",
            json!({"threadId": T, "turn": {"id": U, "status": 7}}),
        );
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(matches!(error.kind, TurnErrorKind::Failed));
        assert_eq!(error.outcome.text, "text");
        assert!(
            error
                .outcome
                .failure
                .unwrap()
                .message
                .contains("turn/completed")
        );
    })
    .await;
}

#[tokio::test]
async fn errors_that_the_server_retries_end_nothing_and_the_last_one_is_the_reason() {
    within(20, async {
        let (_client, server, mut turn) = running().await;
        let error = |text: &str, retry| {
            json!({"threadId": T, "turnId": U, "willRetry": retry, "error": {"message": text, "codexErrorInfo": "other"}})
        };
        server.notify("error", error("once more", true));
        let Some(Ok(TurnEvent::Retrying(failure))) = turn.next().await else {
            panic!("progress")
        };
        assert_eq!(failure.message, "once more");
        server.notify("error", error("no more", false));
        server.turn_completed(T, U, "failed");
        let error = turn_error(turn.finish().await.unwrap_err());
        assert_eq!(error.to_string(), "the turn failed: no more");
    })
    .await;
}

#[tokio::test]
async fn items_that_never_completed_are_closed_with_the_pieces_that_came() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let piece = |method: &str, item: &str, more: serde_json::Value| {
            let mut params = json!({"threadId": T, "turnId": U, "itemId": item});
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            server.notify(method, params);
        };
        server.item_started(T, U, json!({"type": "reasoning", "id": "r", "summary": [], "content": []}));
        piece("item/reasoning/summaryTextDelta", "r", json!({"delta": "first, ", "summaryIndex": 0}));
        piece("item/reasoning/summaryTextDelta", "r", json!({"delta": "look", "summaryIndex": 0}));
        piece("item/reasoning/summaryTextDelta", "r", json!({"delta": "then", "summaryIndex": 1}));
        server.item_started(T, U, json!({
            "type": "commandExecution", "id": "c", "command": "make", "cwd": "/", "status": "inProgress",
            "commandActions": [], "aggregatedOutput": null,
        }));
        piece("item/commandExecution/outputDelta", "c", json!({"delta": "cc a.c\n"}));
        piece("item/commandExecution/outputDelta", "c", json!({"delta": "cc b.c\n"}));
        piece("item/plan/delta", "p", json!({"delta": "1. think"}));
        // Not even its beginning came.
        server.delta(T, U, "m", "I am ");
        server.delta(T, U, "m", "sure");
        server.turn_completed(T, U, "interrupted");
        let outcome = turn_error(turn.finish().await.unwrap_err()).outcome;
        assert!(outcome.items.iter().all(|item| !item.completed));
        let [ThreadItem::Reasoning(r), ThreadItem::CommandExecution(c), ThreadItem::Plan(p), ThreadItem::AgentMessage(m)] =
            &outcome.items.iter().map(|i| i.item.clone()).collect::<Vec<_>>()[..]
        else {
            panic!("{:?}", outcome.items)
        };
        assert_eq!(r.summary, ["first, look", "then"]);
        assert_eq!(c.aggregated_output.as_deref(), Some("cc a.c\ncc b.c\n"));
        assert_eq!(p.text, "1. think");
        assert_eq!((m.text.as_str(), m.id.as_str()), ("I am sure", "m"));
        assert_eq!(outcome.text, "I am sure");
    })
    .await;
}

#[tokio::test]
async fn a_completed_item_without_its_text_gets_the_pieces_joined() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.delta(T, U, "m", "piece by ");
        server.delta(T, U, "m", "piece");
        server.item_completed(T, U, message("m", ""));
        server.turn_completed(T, U, "completed");
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.text, "piece by piece");
        let ThreadItem::AgentMessage(m) = &outcome.items[0].item else {
            panic!()
        };
        assert_eq!(m.text, "piece by piece");
    })
    .await;
}

#[tokio::test]
async fn the_marked_answer_counts_wherever_it_stands_and_remarks_never_do() {
    within(20, async {
        let say = |phase: &'static str, text: &str| {
            json!({"type": "agentMessage", "id": text, "text": text, "phase": phase})
        };
        let (_client, server, turn) = running().await;
        server.item_completed(T, U, say("final_answer", "this"));
        server.item_completed(T, U, message("plain", "plain"));
        server.item_completed(T, U, say("commentary", "by the way"));
        server.turn_completed(T, U, "completed");
        assert_eq!(turn.finish().await.unwrap().text, "this");

        let (_client, server, turn) = running().await;
        server.item_completed(T, U, message("one", "one"));
        server.item_completed(T, U, message("two", "two"));
        server.item_completed(T, U, say("commentary", "by the way"));
        server.turn_completed(T, U, "completed");
        assert_eq!(turn.finish().await.unwrap().text, "two");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_steered_at_its_deadline_and_may_end_by_itself() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        server.answer("turn/steer", {
            let server = server.clone();
            move |params| {
                assert_eq!(params["input"][0]["text"], "wrap up");
                server.message(T, U, "m", "wrapped up");
                server.turn_completed(T, U, "completed");
                Ok(json!({"turnId": U}))
            }
        });
        let deadline = Deadline::after(Duration::from_secs(20)).steer("wrap up");
        let begun = tokio::time::Instant::now();
        turn.set_deadline(deadline);
        assert_eq!(turn.finish().await.unwrap().text, "wrapped up");
        assert_eq!(begun.elapsed().as_secs(), 20);
        assert_eq!(server.calls("turn/interrupt"), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_asks_the_server_before_it_fails_the_turn() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        server.answer("turn/steer", |_| {
            Err(cas_sdk::error::RpcError::new(
                -32600,
                "no active turn to steer",
                None,
            ))
        });
        thread_is(&server, "idle");
        on_record(&server, "completed", &[message("m", "long done")]);
        let deadline = Deadline::after(Duration::from_secs(5))
            .steer("hello?")
            .grace(Duration::from_secs(3));
        let begun = tokio::time::Instant::now();
        turn.set_deadline(deadline);
        let outcome = turn.finish().await.unwrap();
        assert_eq!(
            (outcome.text.as_str(), outcome.recovered),
            ("long done", true)
        );
        assert_eq!(begun.elapsed().as_secs(), 8);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_overruns_its_deadline_fails_with_all_there_was_and_is_interrupted() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        server.message(T, U, "m", "step one");
        thread_is(&server, "active");
        let deadline = Deadline::after(Duration::from_secs(5));
        turn.set_deadline(deadline);
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(
            matches!(error.kind, TurnErrorKind::DeadlinePassed { after } if after.as_secs() == 5)
        );
        assert_eq!(error.outcome.text, "step one");
        drop(server.next("turn/interrupt").await);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_was_read_to_its_end_stays_ended() {
    within(20, async {
        let (_client, server, mut turn) = running().await;
        server.message(T, U, "m", "fine");
        server.turn_completed(T, U, "completed");
        while turn.next().await.is_some() {}
        assert!(turn.next().await.is_none());
        assert_eq!(turn.partial_outcome().text, "fine");
        assert_eq!(
            turn.finish().await.unwrap().text,
            "fine",
            "the outcome is still to be had"
        );

        let (_client, server, mut turn) = running().await;
        server.die();
        assert!(matches!(turn.next().await, Some(Err(Error::Turn(_)))));
        assert!(turn.next().await.is_none());
    })
    .await;
}

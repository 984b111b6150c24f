//! Interrupts that are refused, misnamed or not told about, and turns that nobody wants any more.

use std::time::Duration;

use cas_sdk::{error::RpcError, protocol::TurnStatus, turn::TurnErrorKind};
use serde_json::json;

use crate::common::within;
use crate::{T, U, accepted, on_record, rig, running, thread_is, turn_error};

const NONE: &str = "no active turn to interrupt";

#[tokio::test]
async fn an_interrupt_waits_for_the_turn_to_have_started() {
    within(20, async {
        let (_client, server, turn) = accepted().await;
        let control = turn.control();
        let interrupt = tokio::spawn(async move { control.interrupt().await });
        tokio::task::yield_now().await;
        assert_eq!(server.calls("turn/interrupt"), 0);
        server.turn_started(T, U);
        let request = server.next("turn/interrupt").await;
        assert_eq!(request.params(), &json!({"threadId": T, "turnId": U}));
        request.reply(json!({}));
        server.turn_completed(T, U, "interrupted");
        assert_eq!(interrupt.await.unwrap().unwrap(), TurnStatus::Interrupted);
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(matches!(error.kind, TurnErrorKind::Interrupted));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_that_is_refused_twice_is_sent_again_and_lands() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let (ended, ()) = tokio::join!(turn.interrupt(), async {
            server.next("turn/interrupt").await.refuse(-32600, NONE);
            server
                .next("turn/interrupt")
                .await
                .refuse(-32001, "Server overloaded; retry later.");
            server.next("turn/interrupt").await.reply(json!({}));
            server.turn_completed(T, U, "interrupted");
        });
        assert_eq!(ended.unwrap(), TurnStatus::Interrupted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_that_comes_too_late_tells_how_the_turn_ended_in_fact() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let (ended, ()) = tokio::join!(turn.interrupt(), async {
            let request = server.next("turn/interrupt").await;
            server.message(T, U, "m", "done");
            server.turn_completed(T, U, "completed");
            request.refuse(-32600, NONE);
        });
        assert_eq!(ended.unwrap(), TurnStatus::Completed);
        assert_eq!(
            turn.interrupt().await.unwrap(),
            TurnStatus::Completed,
            "and again, unasked"
        );
        assert_eq!(server.calls("turn/interrupt"), 1);
        assert_eq!(turn.finish().await.unwrap().text, "done");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refusals_without_end_make_it_ask_how_the_turn_stands() {
    within(60, async {
        let (_client, server, turn) = running().await;
        server.answer("turn/interrupt", |_| Err(RpcError::new(-32600, NONE, None)));
        thread_is(&server, "idle");
        on_record(&server, "failed", &[]);
        assert_eq!(turn.interrupt().await.unwrap(), TurnStatus::Failed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_whose_end_is_never_told_is_looked_up() {
    within(60, async {
        let (_client, server, turn) = running().await;
        server.answer("turn/interrupt", |_| Ok(json!({})));
        thread_is(&server, "idle");
        on_record(&server, "interrupted", &[]);
        assert_eq!(turn.interrupt().await.unwrap(), TurnStatus::Interrupted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_interrupt_times_out() {
    within(600, async {
        let (_client, server, turn) = running().await;
        let (ended, request) = tokio::join!(turn.interrupt(), server.next("turn/interrupt"));
        let error = ended.unwrap_err();
        assert!(
            matches!(&error, cas_sdk::Error::Timeout { method, .. } if method == "turn/interrupt"),
            "{error:?}"
        );
        drop(request);
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_runs_under_another_name_is_interrupted_under_that() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let (ended, ()) = tokio::join!(turn.interrupt(), async {
            let text = "expected active turn id turn-1 but found phantom";
            server.next("turn/interrupt").await.refuse(-32600, text);
            let again = server.next("turn/interrupt").await;
            assert_eq!(again.params()["turnId"], "phantom");
            again.reply(json!({}));
            server.turn_completed(T, U, "interrupted");
        });
        assert_eq!(ended.unwrap(), TurnStatus::Interrupted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_late_interrupt_never_hits_the_turn_that_came_after() {
    within(60, async {
        let (_client, server, first) = running().await;
        let thread = first.thread().clone();
        server.starts("turn-2");
        // The end of the first is lost, and the second one runs.
        let second = thread.ask("more").await.unwrap();
        server.turn_started(T, "turn-2");
        thread_is(&server, "active");
        on_record(&server, "completed", &[]);
        server.answer("turn/interrupt", |params| {
            assert_eq!(params["turnId"], U, "the other turn is left alone");
            let text = "expected active turn id turn-1 but found turn-2";
            Err(RpcError::new(-32600, text, None))
        });
        assert_eq!(first.interrupt().await.unwrap(), TurnStatus::Completed);
        server.turn_completed(T, "turn-2", "completed");
        second.finish().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_review_is_interrupted_by_the_name_under_which_it_runs() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        let begun = json!({"turn": {"id": U, "items": [], "status": "inProgress"}, "reviewThreadId": T});
        server.answer("review/start", move |_| Ok(begun.clone()));
        server.answer("command/exec", |_| {
            Ok(json!({"exitCode": 128, "stdout": "", "stderr": "not a git repository"}))
        });
        let target = cas_sdk::protocol::ReviewTarget::uncommitted();
        let turn = thread.review(target).await.unwrap();
        assert!(!turn.turn().joined());
        server.notify(
            "turn/started",
            json!({"threadId": T, "turn": {"id": "inner", "rootTurnId": U, "items": [], "status": "inProgress"}}),
        );
        let (ended, ()) = tokio::join!(turn.interrupt(), async {
            let request = server.next("turn/interrupt").await;
            assert_eq!(request.params()["turnId"], "inner");
            request.reply(json!({}));
            server.turn_completed(T, U, "interrupted");
        });
        assert_eq!(ended.unwrap(), TurnStatus::Interrupted);
    })
    .await;
}

#[tokio::test]
async fn a_turn_dropped_before_it_has_started_is_interrupted_as_soon_as_it_has() {
    within(20, async {
        let (client, server, turn) = accepted().await;
        drop(turn);
        // Whatever was to be sent at once has been sent before the answer to this.
        server.answer("ping", |_| Ok(json!({})));
        client
            .call::<serde_json::Value>("ping", &json!({}))
            .await
            .unwrap();
        assert_eq!(server.calls("turn/interrupt"), 0, "it would be refused");
        server.turn_started(T, U);
        assert_eq!(server.next("turn/interrupt").await.params()["turnId"], U);
    })
    .await;
}

#[tokio::test]
async fn the_interrupt_of_a_dropped_turn_is_repeated_where_it_is_refused_but_not_for_ever() {
    within(20, async {
        let (client, server, turn) = running().await;
        drop(turn);
        for _ in 0..2 {
            server.next("turn/interrupt").await.refuse(-32600, NONE);
        }
        let text = "expected active turn id turn-1 but found phantom";
        server.next("turn/interrupt").await.refuse(-32600, text);
        let named = server.next("turn/interrupt").await;
        assert_eq!(named.params()["turnId"], "phantom");
        named.refuse(-32600, NONE);
        server.next("turn/interrupt").await.refuse(-32600, NONE);
        server.answer("ping", |_| Ok(json!({})));
        client
            .call::<serde_json::Value>("ping", &json!({}))
            .await
            .unwrap();
        assert_eq!(server.calls("turn/interrupt"), 5);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_turn_that_has_ended_is_left_alone() {
    within(20, async {
        let (client, server, turn) = running().await;
        server.turn_completed(T, U, "completed");
        server.answer("ping", |_| Ok(json!({})));
        client
            .call::<serde_json::Value>("ping", &json!({}))
            .await
            .unwrap();
        drop(turn);
        client
            .call::<serde_json::Value>("ping", &json!({}))
            .await
            .unwrap();
        assert_eq!(server.calls("turn/interrupt"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_detached_turn_is_let_run_and_can_be_interrupted_by_its_control() {
    within(20, async {
        let (client, server, turn) = running().await;
        let control = turn.detach();
        drop(control.follow());
        server.answer("ping", |_| Ok(json!({})));
        client
            .call::<serde_json::Value>("ping", &json!({}))
            .await
            .unwrap();
        assert_eq!(server.calls("turn/interrupt"), 0);
        server.answer("turn/interrupt", {
            let server = server.clone();
            move |_| {
                server.turn_completed(T, U, "interrupted");
                Ok(json!({}))
            }
        });
        assert_eq!(control.interrupt().await.unwrap(), TurnStatus::Interrupted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_is_dropped_or_times_out_leaves_no_turn_behind() {
    within(60, async {
        let (_client, server, thread) = rig().await;
        let ask = thread.ask("go").request_timeout(Duration::from_secs(1));
        let error = ask.await.unwrap_err();
        assert!(matches!(error, cas_sdk::Error::Timeout { .. }), "{error:?}");
        let late = json!({"turn": {"id": U, "items": [], "status": "inProgress"}});
        server.next("turn/start").await.reply(late);
        server.turn_started(T, U);
        assert_eq!(server.next("turn/interrupt").await.params()["turnId"], U);
        server.turn_completed(T, U, "interrupted");

        let asked = tokio::time::timeout(Duration::from_millis(1), thread.ask("go").into_future());
        assert!(asked.await.is_err());
        server.turn_started(T, "turn-2");
        let late = json!({"turn": {"id": "turn-2", "items": [], "status": "inProgress"}});
        server.next("turn/start").await.reply(late);
        assert_eq!(
            server.next("turn/interrupt").await.params()["turnId"],
            "turn-2"
        );
    })
    .await;
}

use std::future::IntoFuture as _;

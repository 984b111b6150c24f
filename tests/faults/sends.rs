//! `send`: to the turn that runs, else to a new one, and never both.

use cas_sdk::{Error, RpcErrorKind, error::RpcError, turn::SendOutcome};
use serde_json::json;

use crate::common::within;
use crate::{T, U, accepted, rig, running};

#[tokio::test]
async fn a_send_to_an_idle_thread_starts_a_turn() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        server.starts(U);
        let SendOutcome::Started(turn) = thread.send("go").await.unwrap() else {
            panic!("nothing runs")
        };
        server.message(T, U, "m", "gone");
        server.turn_completed(T, U, "completed");
        assert_eq!(turn.finish().await.unwrap().text, "gone");
        assert_eq!(server.calls("turn/steer"), 0);
    })
    .await;
}

#[tokio::test]
async fn it_steers_a_turn_that_runs_or_was_just_accepted() {
    within(20, async {
        for (_client, server, turn) in [running().await, accepted().await] {
            server.answer("turn/steer", |params| {
                assert_eq!(params["expectedTurnId"], U);
                assert_eq!(params["input"][0]["text"], "left");
                Ok(json!({"turnId": U}))
            });
            let SendOutcome::Steered(control) = turn.thread().send("left").await.unwrap() else {
                panic!("it runs")
            };
            assert_eq!(control.turn_id(), U);
            assert_eq!(
                server.calls("turn/start"),
                1,
                "only that of the turn itself"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_ends_just_then_makes_it_start_one_exactly_once() {
    within(20, async {
        for text in [
            "no active turn to steer",
            "expected active turn id `turn-1` but found `turn-9`",
        ] {
            let (_client, server, turn) = running().await;
            let refusal = RpcError::new(-32600, text, None);
            server.answer("turn/steer", move |_| Err(refusal.clone()));
            server.starts("turn-2");
            let SendOutcome::Started(second) = turn.thread().send("left").await.unwrap() else {
                panic!("it has ended")
            };
            assert_eq!(second.id(), "turn-2");
            assert_eq!(
                (server.calls("turn/steer"), server.calls("turn/start")),
                (1, 2)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_send_that_joins_a_turn_after_all_says_so() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let refusal = RpcError::new(-32600, "no active turn to steer", None);
        server.answer("turn/steer", move |_| Err(refusal.clone()));
        // `turn/start` still names the turn that runs.
        let sent = turn.thread().send("left").await.unwrap();
        assert!(matches!(sent, SendOutcome::Steered(control) if control.turn_id() == U));
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_takes_no_input_is_an_error_of_its_own_and_nothing_is_started() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let data = json!({"message": "cannot steer a review turn", "codexErrorInfo": {"activeTurnNotSteerable": {"turnKind": "review"}}});
        let refusal = RpcError::new(-32600, "cannot steer a review turn", Some(data));
        server.answer("turn/steer", move |_| Err(refusal.clone()));
        let error = turn.thread().send("left").await.unwrap_err();
        let review = RpcErrorKind::NotSteerable { turn_kind: "review".into() };
        assert_eq!(error.rpc_kind(), Some(review.clone()));
        assert_eq!(server.calls("turn/start"), 1);
        assert_eq!(turn.steer("left").await.unwrap_err().rpc_kind(), Some(review));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_steer_is_not_followed_by_a_start() {
    within(600, async {
        let (_client, server, turn) = running().await;
        let error = turn.thread().send("left").await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        assert_eq!(server.calls("turn/start"), 1, "it may have been taken in");
    })
    .await;
}

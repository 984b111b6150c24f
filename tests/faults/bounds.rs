//! What is waited for has an end of its own: the look-up of a turn, a compaction that can't be seen any more.

use std::{future::IntoFuture as _, time::Duration};

use cas_sdk::{
    CasClient, Error, TurnEvent,
    turn::{Deadline, TurnErrorKind},
};
use serde_json::json;
use tokio::time::Instant;

use crate::common::within;
use crate::{T, U, message, on_record, rig, rig_with, running, thread_is, turn_error};

#[tokio::test(start_paused = true)]
async fn a_deadline_on_a_server_that_hangs_ends_a_few_seconds_after_it() {
    within(3_600, async {
        let (_client, server, mut turn) = running().await;
        server.delta(T, U, "m", "half");
        server.leave("thread/read"); // It is never answered.
        server.leave("turn/steer");
        let begun = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(2))
            .steer("wrap up")
            .grace(Duration::from_secs(3));
        turn.set_deadline(deadline);
        let error = turn_error(turn.finish().await.unwrap_err());
        assert!(matches!(error.kind, TurnErrorKind::DeadlinePassed { .. }));
        assert_eq!(error.outcome.text, "half");
        assert_eq!(
            begun.elapsed().as_secs(),
            2 + 3 + 5,
            "deadline, grace, look-up"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_told_as_a_silence_a_few_seconds_after_it() {
    within(3_600, async {
        let (_client, server, mut turn) = running().await;
        turn.set_idle_check(Duration::from_secs(20));
        server.leave("thread/read");
        let begun = Instant::now();
        let Some(Ok(TurnEvent::Idle(_))) = turn.next().await else {
            panic!("a silence")
        };
        assert_eq!(begun.elapsed().as_secs(), 20 + 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_items_stay_away_is_an_end_all_the_same() {
    within(3_600, async {
        let (_client, server, mut turn) = running().await;
        thread_is(&server, "idle");
        on_record(&server, "completed", &[message("m", "saved")]);
        server.leave("thread/items/list");
        let begun = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(1));
        turn.set_deadline(deadline);
        let outcome = turn.finish().await.unwrap();
        assert!(outcome.recovered);
        assert_eq!(begun.elapsed().as_secs(), 1 + 10);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_compaction_ends_when_its_thread_is_let_go_or_closed_meanwhile() {
    within(3_600, async {
        for end in [
            "thread/unsubscribe",
            "thread/closed",
            "thread/archived",
            "thread/deleted",
            "notLoaded",
        ] {
            let (_client, server, thread) = rig().await;
            server.answer("thread/compact/start", |_| Ok(json!({})));
            server.answer("thread/unsubscribe", |_| {
                Ok(json!({"status": "unsubscribed"}))
            });
            let begun = Instant::now();
            let (compaction, ()) = tokio::join!(thread.compact().into_future(), async {
                while server.calls("thread/compact/start") == 0 {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                match end {
                    "thread/unsubscribe" => thread.unsubscribe().await.unwrap(),
                    "notLoaded" => server.status(T, "notLoaded"),
                    _ => server.notify(end, json!({"threadId": T})),
                }
            });
            let error = compaction.unwrap_err();
            assert!(
                matches!(error, Error::NotFollowed { .. }),
                "{end}: {error:?}"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "{end}: {:?}",
                begun.elapsed()
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_compaction_on_a_connection_that_ends_meanwhile_tells_the_reason() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        server.answer("thread/compact/start", {
            let server = server.clone();
            move |_| {
                server.die();
                Ok(json!({}))
            }
        });
        let error = thread.compact().await.unwrap_err();
        assert!(matches!(error, Error::Indeterminate { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_compaction_that_has_begun_before_its_thread_was_let_go_is_returned() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        server.answer("thread/compact/start", {
            let server = server.clone();
            move |_| {
                server.turn_started(T, U);
                server.notify("thread/closed", json!({"threadId": T}));
                Ok(json!({}))
            }
        });
        assert_eq!(thread.compact().await.unwrap().id(), U);
    })
    .await;
}

#[tokio::test]
async fn a_turn_whose_thread_lost_events_of_another_turn_has_lost_none() {
    within(60, async {
        let (_client, server, thread) =
            rig_with(CasClient::builder().event_queue(100, 1 << 20)).await;
        for lost_of_its_own in [0, 7] {
            let ask = tokio::spawn(thread.ask("go").into_future());
            let start = server.next("turn/start").await;
            // Early events of the turn itself, which those of another one push out.
            for _ in 0..lost_of_its_own {
                server.delta(T, U, "m", "early");
            }
            for _ in 0..5_000 {
                server.delta(T, "older", "x", "late");
            }
            start.reply(json!({"turn": {"id": U, "items": [], "status": "inProgress"}}));
            let mut turn = ask.await.unwrap().unwrap();
            on_record(&server, "completed", &[message("m", "answer")]);
            server.turn_started(T, U);
            server.message(T, U, "m", "answer");
            server.turn_completed(T, U, "completed");
            let mut lagged = 0;
            let outcome = loop {
                match turn.next().await.unwrap().unwrap() {
                    TurnEvent::Lagged(skipped) => lagged += skipped,
                    TurnEvent::Completed(outcome) => break outcome,
                    _ => {}
                }
            };
            assert_eq!(lagged, lost_of_its_own);
            assert_eq!(outcome.text, "answer");
            assert_eq!(outcome.recovered, lost_of_its_own > 0);
            let asked = usize::from(lost_of_its_own > 0);
            assert_eq!(server.calls("thread/items/list"), asked);
        }
    })
    .await;
}

//! What a turn says while the server is asked how it stands counts more than the answer.

use std::{future::Future as _, pin::pin, task::Poll, time::Duration};

use cas_sdk::{
    Turn, TurnEvent,
    testing::FakeServer,
    turn::{Deadline, TurnErrorKind},
};
use serde_json::json;
use tokio::time::Instant;

use crate::common::within;
use crate::{T, U, message, on_record, read, rig, running, thread_is, turn_error};

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_while_the_server_is_asked_waits_for_no_answer() {
    within(600, async {
        let (_client, server, turn) = running().await;
        server.message(T, U, "m", "fine");
        server.status(T, "idle");
        let finish = tokio::spawn(turn.finish());
        let _unanswered = server.next("thread/read").await;
        let begun = Instant::now();
        server.turn_completed(T, U, "completed");
        let outcome = finish.await.unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(!outcome.recovered);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_that_came_before_the_answer_are_read_before_it() {
    within(600, async {
        let (_client, server, turn) = running().await;
        answers_last(&server);
        assert_eq!(read(turn).await, ("in pieces".into(), "in pieces".into()));
        assert_eq!(server.calls("thread/items/list"), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_same_in_a_task_that_has_to_give_way_in_the_middle() {
    within(600, async {
        for used in 0..128 {
            let (_client, server, mut turn) = running().await;
            answers_last(&server);
            let mut text = String::new();
            let outcome = loop {
                let next = std::future::poll_fn(|cx| {
                    // Of what the task may do before it gives way, this much is done.
                    for _ in 0..used {
                        if let Poll::Ready(budget) = tokio::task::coop::poll_proceed(cx) {
                            budget.made_progress();
                        }
                    }
                    pin!(turn.next()).poll(cx)
                });
                match next.await.unwrap().unwrap() {
                    TurnEvent::Text { delta, .. } => text.push_str(&delta),
                    TurnEvent::Completed(outcome) => break outcome,
                    _ => {}
                }
            };
            assert_eq!(
                (text.as_str(), outcome.recovered),
                ("in pieces", false),
                "{used}"
            );
        }
    })
    .await;
}

/// The thread rests; as the server is asked, it says all that is left to say before it answers.
fn answers_last(server: &FakeServer) {
    server.status(T, "idle");
    thread_is(server, "idle");
    on_record(server, "completed", &[]);
    let peer = server.clone();
    server.answer("thread/items/list", move |_| {
        peer.message(T, U, "m", "in pieces");
        peer.turn_completed(T, U, "completed");
        let item = message("m", "in pieces");
        Ok(json!({"data": [{"turnId": U, "item": item}], "nextCursor": null}))
    });
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_server_reports_takes_precedence_over_the_record_at_a_deadline() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        thread_is(&server, "idle");
        on_record(&server, "interrupted", &[]);
        let peer = server.clone();
        server.answer("thread/items/list", move |_| {
            peer.message(T, U, "m", "just in time");
            peer.turn_completed(T, U, "completed");
            Ok(json!({"data": [], "nextCursor": null}))
        });
        let deadline = Deadline::after(Duration::from_secs(1));
        turn.set_deadline(deadline);
        let outcome = turn.finish().await.unwrap();
        assert_eq!(
            (outcome.text.as_str(), outcome.recovered),
            ("just in time", false)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_speaks_while_the_server_is_asked_is_not_silent() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        turn.set_idle_check(Duration::from_secs(5));
        let (told, asked) = tokio::join!(turn.next(), async {
            let asked = server.next("thread/read").await;
            server.delta(T, U, "m", "well");
            asked
        });
        assert!(matches!(told, Some(Ok(TurnEvent::Text { delta: text, .. })) if text == "well"));
        asked.reply(json!({"thread": FakeServer::thread(T, "active")}));
        server.turn_completed(T, U, "completed");
        assert!(turn.wait().await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_goes_round_in_circles_is_read_no_further_than_once_round() {
    within(600, async {
        let (_client, server, mut turn) = running().await;
        thread_is(&server, "idle");
        let mut pages = ["a", "b"].into_iter().cycle();
        server.answer("thread/turns/list", move |_| {
            Ok(json!({"data": [], "nextCursor": pages.next()}))
        });
        server.status(T, "idle");
        // The turn is not on record as far as that can be read, which is an error and no end.
        turn.set_deadline(Deadline::after(Duration::from_secs(30)));
        let outcome = turn.finish().await;
        assert!(outcome.is_err(), "{outcome:?}");
        let asked = server.calls("thread/read");
        assert!(asked > 0);
        assert_eq!(server.calls("thread/turns/list"), 3 * asked);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn items_that_go_round_in_circles_are_read_no_further_than_once_round() {
    within(600, async {
        let (_client, server, turn) = running().await;
        thread_is(&server, "idle");
        on_record(&server, "completed", &[]);
        let mut pages = ["a", "b"].into_iter().cycle();
        server.answer("thread/items/list", move |_| {
            let item = message("m", "hello");
            Ok(json!({"data": [{"turnId": U, "item": item}], "nextCursor": pages.next()}))
        });
        server.status(T, "idle");
        let outcome = turn.finish().await.unwrap();
        assert!(outcome.recovered);
        assert_eq!(server.calls("thread/items/list"), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_record_is_cut_off_with_the_connection_is_no_turn_without_an_answer() {
    within(600, async {
        let cut_off = async |server: &FakeServer, turn: Turn| {
            on_record(server, "completed", &[]);
            server.leave("thread/items/list");
            let finish = tokio::spawn(turn.finish());
            let _asked = server.next("thread/items/list").await;
            server.die();
            let error = turn_error(finish.await.unwrap().unwrap_err());
            assert!(matches!(error.kind, TurnErrorKind::Closed(_)), "{error:?}");
        };
        // A turn that was over when it was asked for.
        let (_client, server, thread) = rig().await;
        on_record(&server, "completed", &[]);
        let over = thread.turn(U).await.unwrap();
        cut_off(&server, over).await;
        // A turn whose end the server has not told.
        let (_client, server, turn) = running().await;
        server.status(T, "idle");
        thread_is(&server, "idle");
        cut_off(&server, turn).await;
    })
    .await;
}

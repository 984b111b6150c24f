//! From `turn/start` to the turn: what comes early, late, from elsewhere, or joins.

use std::future::IntoFuture as _;

use cas_sdk::{
    Error, Filter,
    protocol::{ThreadStartParams, TurnStatus},
};
use serde_json::json;

use crate::common::within;
use crate::{T, U, message, on_record, read, rig, running};

fn started(turn: &str) -> serde_json::Value {
    json!({"turn": {"id": turn, "items": [], "status": "inProgress"}})
}

#[tokio::test]
async fn a_turn_with_the_id_of_an_ended_one_is_a_turn_of_its_own() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let thread = turn.thread().clone();
        server.turn_completed(T, U, "completed");
        turn.finish().await.unwrap();
        server.starts(U);
        let turn = thread.ask("again").await.unwrap();
        server.turn_started(T, U);
        server.leave("turn/interrupt");
        let (interrupted, ()) = tokio::join!(turn.interrupt(), async {
            server.next("turn/interrupt").await.reply(json!({}));
            server.turn_completed(T, U, "interrupted");
        });
        assert_eq!(interrupted.unwrap(), TurnStatus::Interrupted);
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_is_over_before_its_answer_comes_is_there_whole() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        let (turn, ()) = tokio::join!(thread.ask("go").into_future(), async {
            let start = server.next("turn/start").await;
            server.turn_started(T, U);
            server.message(T, U, "m", "early bird");
            server.turn_completed(T, U, "completed");
            start.reply(started(U));
        });
        let turn = turn.unwrap();
        assert!(!turn.joined());
        assert_eq!(
            turn.interrupt().await.unwrap(),
            cas_sdk::protocol::TurnStatus::Completed,
            "known without asking"
        );
        assert_eq!(read(turn).await, ("early bird".into(), "early bird".into()));
        assert_eq!(server.calls("turn/interrupt"), 0);
    })
    .await;
}

#[tokio::test]
async fn late_and_foreign_events_never_land_in_the_turn() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        let (turn, ()) = tokio::join!(thread.ask("go").into_future(), async {
            let start = server.next("turn/start").await;
            server.message(T, "older", "a", "from the turn before");
            server.turn_completed(T, "older", "failed");
            server.message("elsewhere", U, "b", "from another thread");
            server.turn_completed("elsewhere", U, "failed");
            start.reply(started(U));
        });
        server.turn_started(T, U);
        server.message(T, "older", "c", "late");
        server.turn_completed(T, "older", "interrupted");
        server.message("sub-agent", "sub-turn", "d", "from a sub-agent");
        server.turn_completed("sub-agent", "sub-turn", "failed");
        server.message(T, U, "m", "mine");
        server.turn_completed(T, U, "completed");
        let turn = turn.unwrap();
        assert!(!turn.joined());
        let outcome = turn.finish().await.unwrap();
        assert_eq!((outcome.text.as_str(), outcome.items.len()), ("mine", 1));
    })
    .await;
}

#[tokio::test]
async fn the_second_of_two_simultaneous_asks_joins_and_both_have_the_whole_turn() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        let (a, b, ()) = tokio::join!(
            thread.ask("one").into_future(),
            thread.ask("two").into_future(),
            async {
                let (one, two) = (
                    server.next("turn/start").await,
                    server.next("turn/start").await,
                );
                server.turn_started(T, U);
                one.reply(started(U));
                server.message(T, U, "m", "both of you: ");
                two.reply(started(U));
            }
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(!a.joined());
        assert!(b.joined());
        drop(a);
        server.message(T, U, "n", "yes");
        server.turn_completed(T, U, "completed");
        let outcome = b.finish().await.unwrap();
        assert_eq!((outcome.text.as_str(), outcome.joined), ("yes", true));
        assert_eq!(outcome.items.len(), 2);
        assert_eq!(server.calls("turn/interrupt"), 0, "one reader was left");
    })
    .await;
}

#[tokio::test]
async fn a_late_reader_gets_the_beginning_from_the_earlier_ones() {
    within(20, async {
        let (_client, server, first) = running().await;
        server.delta(T, U, "m", "once ");
        server.delta(T, U, "m", "upon ");
        let thread = first.thread().clone();
        let second = thread.ask("and?").await.unwrap();
        assert!(second.joined());
        server.delta(T, U, "m", "a time");
        server.item_completed(T, U, message("m", "once upon a time"));
        server.turn_completed(T, U, "completed");
        let whole = || ("once upon a time".to_owned(), "once upon a time".to_owned());
        assert_eq!(read(second).await, whole());
        assert_eq!(read(first).await.1, whole().1);
    })
    .await;
}

#[tokio::test]
async fn a_late_reader_without_earlier_ones_gets_the_beginning_from_the_record() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        // Another client's turn, on a thread that was taken up in the middle of it.
        server.answer("thread/resume", |_| {
            Ok(json!({"thread": {"id": T, "status": {"type": "active", "activeFlags": []}}}))
        });
        let thread = thread.client().resume_thread(T).await.unwrap();
        server.starts(U);
        let turn = thread.ask("me too").await.unwrap();
        assert!(turn.joined());
        server.message(T, U, "n", "second half");
        server.turn_completed(T, U, "completed");
        on_record(
            &server,
            "completed",
            &[message("m", "first half"), message("n", "second half")],
        );
        let outcome = turn.finish().await.unwrap();
        assert!(outcome.recovered);
        assert_eq!(outcome.items.len(), 2);
        assert_eq!(outcome.text, "second half");
    })
    .await;
}

#[tokio::test]
async fn a_foreign_turn_that_was_joined_is_not_interrupted_when_it_is_dropped() {
    within(20, async {
        let (client, server, thread) = rig().await;
        let mut events = client.events(Filter::all().method("turn/*"));
        server.turn_started(T, U); // Somebody else's.
        events.next().await.unwrap().unwrap();
        server.starts(U);
        let turn = thread.ask("me too").await.unwrap();
        assert!(turn.joined());
        drop(turn);
        server.turn_completed(T, U, "completed");
        let end = events.next().await.unwrap().unwrap();
        assert_eq!(end.method(), "turn/completed");
        assert_eq!(server.calls("turn/interrupt"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_turn_on_a_thread_that_is_not_followed_is_refused_with_the_remedy() {
    within(20, async {
        let (client, server, thread) = rig().await;
        let refused = |error: Error| {
            assert!(matches!(&error, Error::NotFollowed { .. }), "{error:?}");
            assert!(error.to_string().contains("resume_thread"), "{error}");
        };
        refused(client.thread("thr-9").ask("go").await.unwrap_err());
        refused(client.thread("thr-9").send("go").await.unwrap_err());
        refused(client.thread("thr-9").compact().await.unwrap_err());

        server.answer("thread/unsubscribe", |_| {
            Ok(json!({"status": "unsubscribed"}))
        });
        thread.unsubscribe().await.unwrap();
        refused(thread.ask("go").await.unwrap_err());
        let thread = client.resume_thread(T).await.unwrap();
        server.starts(U);
        let turn = thread.ask("go").await.unwrap();
        server.turn_completed(T, U, "completed");
        turn.finish().await.unwrap();

        for end in ["thread/closed", "thread/archived", "thread/deleted"] {
            let thread = client
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            assert!(thread.is_followed());
            let mut events = thread.events();
            server.notify(end, json!({"threadId": T}));
            events.next().await.unwrap().unwrap();
            refused(thread.ask("go").await.unwrap_err());
        }
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let mut events = thread.events();
        server.status(T, "notLoaded");
        events.next().await.unwrap().unwrap();
        refused(thread.ask("go").await.unwrap_err());
        assert_eq!(server.calls("turn/start"), 1, "the others were not sent");
    })
    .await;
}

#[tokio::test]
async fn the_thread_of_a_sub_agent_is_followed_without_being_opened() {
    within(20, async {
        let (client, server, _thread) = rig().await;
        let mut events = client.events(Filter::all());
        server.turn_started("child", "child-turn");
        events.next().await.unwrap().unwrap();
        assert!(client.thread("child").is_followed());
    })
    .await;
}

#[tokio::test]
async fn a_start_on_a_closed_connection_fails_with_the_reason() {
    within(20, async {
        let (client, server, thread) = rig().await;
        server.die();
        client.closed().await;
        let error = thread.ask("go").await.unwrap_err();
        assert!(matches!(error, Error::Closed(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn the_next_turn_on_a_thread_that_was_busy_is_a_new_one() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        server.answer("thread/resume", |_| {
            Ok(json!({"thread": {"id": T, "status": {"type": "active", "activeFlags": []}}}))
        });
        let thread = thread.client().resume_thread(T).await.unwrap();
        let (turn, ()) = tokio::join!(thread.ask("go").into_future(), async {
            let start = server.next("turn/start").await;
            server.turn_completed(T, "foreign", "completed");
            start.reply(started(U));
        });
        let turn = turn.unwrap();
        assert!(!turn.joined());
        server.turn_started(T, U);
        drop(turn);
        assert_eq!(server.next("turn/interrupt").await.params()["turnId"], U);
    })
    .await;
}

#[tokio::test]
async fn a_turn_of_a_thread_that_was_let_go_can_still_be_interrupted() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.answer("thread/unsubscribe", |_| {
            Ok(json!({"status": "unsubscribed"}))
        });
        turn.thread().unsubscribe().await.unwrap();
        assert!(!turn.thread().is_followed());
        drop(turn);
        assert_eq!(server.next("turn/interrupt").await.params()["turnId"], U);
    })
    .await;
}

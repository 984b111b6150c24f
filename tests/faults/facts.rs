//! What the client says of the turns of a thread, when the server leaves out, delays or hides what it should tell.

use std::time::Duration;

use cas_sdk::{
    CasClient, Thread, TurnOutcome,
    error::RpcError,
    protocol::TurnStatus,
    testing::FakeServer,
    turn::{QueueState, StartedBy},
};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::common::within;
use crate::{T, U, accepted, message, on_record, rig, running, thread_is};

const NEXT: &str = "turn-2";

/// A command that the turn leaves running.
fn command() -> Value {
    json!({
        "type": "commandExecution", "id": "c", "command": "sleep 9", "cwd": "/", "status": "inProgress",
        "commandActions": [],
    })
}

/// A turn that runs and that nobody reads.
async fn unread() -> (CasClient, FakeServer, Thread) {
    let (client, server, turn) = running().await;
    let thread = turn.thread().clone();
    let _ = turn.detach();
    (client, server, thread)
}

/// Answers what a stop asks for.
fn stops(server: &FakeServer) {
    server.answer("thread/goal/get", |_| Ok(json!({"goal": null})));
    server.answer("turn/interrupt", |_| Ok(json!({})));
    for list in ["thread/list", "thread/backgroundTerminals/list"] {
        server.answer(list, |_| Ok(json!({"data": [], "nextCursor": null})));
    }
}

/// The ids of the items of an outcome.
fn ids(outcome: &TurnOutcome) -> Vec<String> {
    let items = outcome.items.iter();
    let items = items.map(|item| serde_json::to_value(&item.item).unwrap());
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_end_was_recovered_runs_no_more() {
    within(600, async {
        let (client, server, turn) = running().await;
        let thread = turn.thread().clone();
        server.status(T, "idle");
        thread_is(&server, "idle");
        on_record(&server, "completed", &[]);
        assert!(turn.finish().await.unwrap().recovered);

        assert!(thread.running_turn().await.unwrap().is_none());
        assert!(client.running_turns().is_empty());
        let again = thread.turn(U).await.unwrap().finish().await.unwrap();
        assert_eq!(again.status, TurnStatus::Completed);

        // The thread counts as idle.
        let compact = thread.compact().into_future();
        let (compaction, ()) = tokio::join!(compact, async {
            server.next("thread/compact/start").await.reply(json!({}));
            server.turn_started(T, NEXT);
            let item = json!({"type": "contextCompaction", "id": "k"});
            server.item_started(T, NEXT, item);
        });
        let compaction = compaction.unwrap();
        server.turn_completed(T, NEXT, "completed");
        compaction.finish().await.unwrap();

        stops(&server);
        let report = thread.stop_all(Duration::from_secs(5)).await;
        assert!(report.is_complete(), "{report:?}");
        assert!(report.turns.is_empty(), "{report:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_end_is_known_only_to_its_interrupt_runs_no_more() {
    within(600, async {
        let (client, server, turn) = running().await;
        let thread = turn.thread().clone();
        let control = turn.detach();
        server.answer("turn/interrupt", |_| Ok(json!({})));
        thread_is(&server, "idle");
        on_record(&server, "interrupted", &[]);
        assert_eq!(control.interrupt().await.unwrap(), TurnStatus::Interrupted);
        assert!(thread.running_turn().await.unwrap().is_none());
        assert!(client.running_turns().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_end_was_not_told_is_over_when_its_thread_rests_though_nobody_reads_it() {
    within(600, async {
        let (client, server, thread) = unread().await;
        server.status(T, "idle");
        thread_is(&server, "active");
        server.settled(&client).await;
        assert!(thread.running_turn().await.unwrap().is_some());
        thread_is(&server, "idle");
        for _ in 0..2 {
            assert!(thread.running_turn().await.unwrap().is_none());
        }
        assert!(client.running_turns().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_an_end_that_the_server_forgot() {
    within(600, async {
        for grace in [Duration::from_millis(100), Duration::from_secs(60)] {
            let (client, server, thread) = unread().await;
            thread_is(&server, "idle");
            stops(&server);
            let begun = tokio::time::Instant::now();
            let report = thread.stop_all(grace).await;
            assert!(report.is_complete(), "{report:?}");
            assert_eq!(report.turns, [(T.to_owned(), U.to_owned())]);
            assert!(begun.elapsed() < Duration::from_secs(5));
            assert!(client.running_turns().is_empty());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_end_was_not_told_is_over_when_the_next_one_begins() {
    within(600, async {
        let (client, server, thread) = unread().await;
        server.turn_started(T, NEXT);
        server.turn_completed(T, NEXT, "completed");
        server.settled(&client).await;
        assert!(client.running_turns().is_empty());
        assert!(thread.running_turn().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_ended_while_its_thread_was_not_followed_runs_no_more() {
    within(600, async {
        let (client, server, thread) = unread().await;
        server.answer("thread/unsubscribe", |_| {
            Ok(json!({"status": "unsubscribed"}))
        });
        thread.unsubscribe().await.unwrap();
        assert!(client.running_turns().is_empty());
        client.resume_thread(T).await.unwrap();
        assert!(thread.running_turn().await.unwrap().is_none());
        assert!(client.running_turns().is_empty());
    })
    .await;
}

/// The thread was not followed for a while, and a turn runs when it is followed again.
async fn resumed_busy(server: &FakeServer, thread: &Thread) {
    server.answer("thread/unsubscribe", |_| {
        Ok(json!({"status": "unsubscribed"}))
    });
    thread.unsubscribe().await.unwrap();
    let mut opened = FakeServer::thread_opened(T);
    opened["thread"] = FakeServer::thread(T, "active");
    server.answer("thread/resume", move |_| Ok(opened.clone()));
    thread.client().resume_thread(T).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_went_on_unseen_is_the_running_one_again_with_what_was_missed() {
    within(600, async {
        let (client, server, thread) = unread().await;
        server.item_completed(T, U, message("m1", "seen"));
        resumed_busy(&server, &thread).await;
        let mut turns = thread.turns();
        server.item_completed(T, U, message("m3", "third"));
        let found = turns.next().await.unwrap().unwrap();
        assert_eq!(found.id(), U);
        assert_eq!(found.started_by(), StartedBy::Us);
        let running = thread.running_turn().await.unwrap().unwrap();
        assert_eq!(running.id(), U);
        assert_eq!(client.running_turns().len(), 1);
        let record = [message("m1", "seen"), message("m2", "missed")];
        on_record(&server, "completed", &record);
        server.turn_completed(T, U, "completed");
        let outcome = found.finish().await.unwrap();
        assert_eq!(ids(&outcome), ["m1", "m2", "m3"]);
        assert!(thread.running_turn().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_turn_that_runs_when_a_thread_is_followed_again_is_not_the_one_of_before() {
    within(600, async {
        let (client, server, thread) = unread().await;
        resumed_busy(&server, &thread).await;
        thread_is(&server, "active");
        let listed = json!({"id": NEXT, "items": [], "status": "inProgress"});
        server.answer("thread/turns/list", move |_| {
            Ok(json!({"data": [listed], "nextCursor": null}))
        });
        let running = thread.running_turn().await.unwrap().unwrap();
        assert_eq!(running.id(), NEXT);
        server.turn_completed(T, NEXT, "completed");
        server.settled(&client).await;
        assert!(thread.running_turn().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_found_in_the_middle_has_what_was_there_before() {
    within(600, async {
        // The answer to `turn/start` comes before the events.
        let (_client, server, thread) = unread().await;
        server.item_completed(T, U, message("m1", "first"));
        server.settled(thread.client()).await;
        let mut turns = thread.turns();
        server.item_completed(T, U, message("m2", "second"));
        let found = turns.next().await.unwrap().unwrap();
        assert_eq!(found.id(), U);
        let record = [message("m1", "first"), message("m2", "second")];
        on_record(&server, "completed", &record);
        server.turn_completed(T, U, "completed");
        let outcome = found.finish().await.unwrap();
        assert_eq!(ids(&outcome), ["m1", "m2"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_ran_when_its_thread_was_opened_has_what_was_there_before() {
    within(600, async {
        let (client, server, thread) = rig().await;
        resumed_busy(&server, &thread).await;
        let mut turns = thread.turns();
        server.item_completed(T, U, message("m2", "second"));
        let found = turns.next().await.unwrap().unwrap();
        let record = [message("m1", "first"), message("m2", "second")];
        on_record(&server, "completed", &record);
        server.turn_completed(T, U, "completed");
        let outcome = found.finish().await.unwrap();
        assert_eq!(ids(&outcome), ["m1", "m2"]);
        assert!(client.running_turns().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_late_item_of_an_ended_turn_begins_no_turn() {
    within(600, async {
        let (client, server, turn) = running().await;
        let thread = turn.thread().clone();
        server.item_started(T, U, command());
        server.turn_completed(T, U, "completed");
        turn.finish().await.unwrap();
        let mut turns = thread.turns();
        server.item_completed(T, U, command());
        server.settled(&client).await;
        assert!(turns.next().now_or_never().is_none());
        assert!(thread.running_turn().await.unwrap().is_none());
        // The same of a turn of which nothing was told but its end.
        let (client, server, turn) = accepted().await;
        let thread = turn.thread().clone();
        server.status(T, "idle");
        thread_is(&server, "idle");
        on_record(&server, "completed", &[]);
        assert!(turn.finish().await.unwrap().recovered);
        let mut turns = thread.turns();
        server.item_completed(T, U, command());
        server.settled(&client).await;
        assert!(turns.next().now_or_never().is_none());
        assert!(client.running_turns().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_input_that_a_turn_has_taken_from_the_queue_says_who_started_the_turn() {
    within(600, async {
        let (client, server, thread) = rig().await;
        let enqueued = thread.enqueue("go");
        let (queued, ()) = tokio::join!(enqueued, async {
            let add = server.next("thread/queue/add").await;
            let mut told = add.params().clone();
            told["id"] = json!("q");
            add.reply(json!({"queuedSubmission": told}));
        });
        let mut queued = queued.unwrap();
        server.turn_started(T, U);
        let id = queued.message_id().to_owned();
        let item = json!({"type": "userMessage", "id": "m", "content": [], "clientId": id});
        server.item_completed(T, U, item.clone());
        let QueueState::Taken(turn) = queued.wait().await.unwrap() else {
            panic!("a turn has taken it")
        };
        assert_eq!(turn.started_by(), StartedBy::Queue);
        server.turn_completed(T, U, "completed");
        turn.finish().await.unwrap();
        // Its message is delivered once; another turn with its id is somebody else's.
        server.turn_started(T, NEXT);
        server.item_completed(T, NEXT, item);
        server.settled(&client).await;
        let next = thread.running_turn().await.unwrap().unwrap();
        assert_eq!(next.started_by(), StartedBy::OtherClient);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sub_agents_are_not_the_last() {
    within(600, async {
        let (client, server, turn) = running().await;
        let thread = turn.thread().clone();
        let spawned = |agents: &[String]| {
            json!({
                "type": "collabAgentToolCall", "id": "s", "tool": "spawnAgent", "status": "completed",
                "senderThreadId": T, "receiverThreadIds": agents, "agentsStates": {},
            })
        };
        let id = |n: usize| format!("agent-{n}");
        let all: Vec<_> = (0..1_500).map(id).collect();
        for some in all.chunks(100) {
            server.item_completed(T, U, spawned(some));
            for agent in some {
                server.turn_started(agent, &format!("turn of {agent}"));
                if agent != "agent-0" {
                    server.turn_completed(agent, &format!("turn of {agent}"), "completed");
                }
            }
            server.settled(&client).await;
        }
        server.answer("thread/read", |_| Err(RpcError::new(-32600, "thread not found", None)));
        let agents = turn.agents().await;
        assert_eq!(agents.len(), 1_024, "the rest was forgotten");
        let known = |n: usize| agents.iter().any(|agent| agent.thread_id == id(n));
        assert!(known(0), "it is still at work");
        assert!(!known(1), "it has ended, and nobody else is older");
        assert!(known(1_499));

        let _control = turn.detach();
        server.turn_completed(T, U, "completed");
        server.turn_started(T, NEXT);
        server.item_completed(T, NEXT, spawned(&["late".to_owned()]));
        server.settled(&client).await;
        let next = thread.running_turn().await.unwrap().unwrap();
        assert_eq!(next.agents().await.len(), 1);
    })
    .await;
}

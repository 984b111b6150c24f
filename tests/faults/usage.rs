//! Tokens, added up by turn.

use serde_json::json;

use crate::common::within;
use crate::{T, U, rig, running};

#[tokio::test]
async fn a_turn_counts_its_own_tokens_and_not_those_of_the_turns_before() {
    within(20, async {
        let (_client, server, turn) = running().await;
        let thread = turn.thread().clone();
        server.usage(T, U, (10, 5), (10, 5));
        server.usage(T, U, (10, 5), (10, 5)); // Told twice.
        server.usage(T, U, (20, 5), (30, 10));
        server.turn_completed(T, U, "completed");
        let outcome = turn.finish().await.unwrap();
        let used = outcome.usage.unwrap();
        assert_eq!((used.input, used.output, used.total), (30, 10, 40));

        server.starts("turn-2");
        let turn = thread.ask("more").await.unwrap();
        server.turn_started(T, "turn-2");
        server.usage(T, "turn-2", (7, 1), (100, 20)); // One between was dropped.
        server.turn_completed(T, "turn-2", "completed");
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.usage.unwrap().input, 70);
        assert_eq!(outcome.thread_usage.unwrap().total.input_tokens, 100);
    })
    .await;
}

#[tokio::test]
async fn sub_agents_and_theirs_count_towards_the_turn_that_started_them() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.usage(T, U, (10, 5), (10, 5));
        let started = |thread: &str, turn: &str| {
            json!({"threadId": thread, "turn": {"id": turn, "rootTurnId": U, "items": [], "status": "inProgress"}})
        };
        server.notify("turn/started", started("child", "child-turn"));
        server.usage("child", "child-turn", (100, 50), (100, 50));
        server.notify("turn/started", started("grandchild", "g-turn"));
        server.usage("grandchild", "g-turn", (1000, 500), (1000, 500));
        server.turn_completed("grandchild", "g-turn", "completed");
        server.turn_completed("child", "child-turn", "completed");
        server.turn_completed(T, U, "completed");
        server.notify("turn/started", started("child", "late"));
        server.usage("child", "late", (9, 9), (109, 59));
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.usage.unwrap().total, 15);
        assert_eq!(outcome.usage_with_agents.unwrap().total, 15 + 150 + 1500);
    })
    .await;
}

#[tokio::test]
async fn sub_agents_are_found_by_the_calls_that_made_them_where_the_server_names_no_root() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.usage(T, U, (10, 5), (10, 5));
        let call = |thread: &str, turn: &str, child: &str| {
            server.item_completed(thread, turn, json!({
                "type": "collabAgentToolCall", "id": format!("call-{child}"), "tool": "spawnAgent", "status": "completed",
                "senderThreadId": thread, "receiverThreadIds": [child], "agentsStates": {},
            }));
        };
        server.turn_started("child", "child-turn");
        call(T, U, "child");
        server.usage("child", "child-turn", (100, 50), (100, 50));
        server.turn_started("grandchild", "g-turn");
        call("child", "child-turn", "grandchild");
        server.usage("grandchild", "g-turn", (1000, 500), (1000, 500));
        server.turn_completed(T, U, "completed");
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.usage_with_agents.unwrap().total, 15 + 150 + 1500);
    })
    .await;
}

#[tokio::test]
async fn the_tokens_of_a_sub_agent_count_also_while_somebody_watches_its_turn() {
    within(20, async {
        let (client, server, turn) = running().await;
        server.usage(T, U, (10, 5), (10, 5));
        let started =
            json!({"id": "child-turn", "rootTurnId": U, "items": [], "status": "inProgress"});
        server.notify(
            "turn/started",
            json!({"threadId": "child", "turn": started}),
        );
        server.settled(&client).await;
        let watched = client.thread("child").turn("child-turn").await.unwrap();
        server.usage("child", "child-turn", (100, 50), (100, 50));
        server.turn_completed("child", "child-turn", "completed");
        server.turn_completed(T, U, "completed");
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.usage.unwrap().total, 15);
        assert_eq!(outcome.usage_with_agents.unwrap().total, 15 + 150);
        assert_eq!(watched.finish().await.unwrap().usage.unwrap().total, 150);
    })
    .await;
}

#[tokio::test]
async fn what_a_thread_used_while_nobody_followed_it_belongs_to_no_later_turn() {
    within(20, async {
        let (client, server, turn) = running().await;
        server.usage(T, U, (10, 5), (10, 5));
        server.turn_completed(T, U, "completed");
        let thread = turn.thread().clone();
        turn.finish().await.unwrap();
        server.answer("thread/unsubscribe", |_| {
            Ok(json!({"status": "unsubscribed"}))
        });
        thread.unsubscribe().await.unwrap();
        server.opens(T);
        let thread = client.resume_thread(T).await.unwrap();
        server.starts("turn-2");
        let turn = thread.ask("more").await.unwrap();
        server.turn_started(T, "turn-2");
        server.usage(T, "turn-2", (7, 1), (500, 500));
        server.turn_completed(T, "turn-2", "completed");
        assert_eq!(turn.finish().await.unwrap().usage.unwrap().total, 8);
    })
    .await;
}

#[tokio::test]
async fn a_thread_taken_up_in_the_middle_counts_from_there() {
    within(20, async {
        let (client, server, _) = rig().await;
        server.opens("old");
        let thread = client.resume_thread("old").await.unwrap();
        server.usage("old", "older-turn", (1, 1), (500, 500)); // What the server says first of a resumed thread.
        server.starts(U);
        let turn = thread.ask("go").await.unwrap();
        server.turn_started("old", U);
        server.usage("old", U, (10, 5), (510, 505));
        server.turn_completed("old", U, "completed");
        assert_eq!(turn.finish().await.unwrap().usage.unwrap().total, 15);

        server.opens("fork");
        let thread = client.fork_thread("old").await.unwrap();
        let turn = thread.ask("go").await.unwrap();
        server.turn_started("fork", U);
        server.usage("fork", U, (10, 5), (520, 510)); // Nothing was said before.
        server.turn_completed("fork", U, "completed");
        assert_eq!(turn.finish().await.unwrap().usage.unwrap().total, 15);
    })
    .await;
}

#[tokio::test]
async fn a_turn_without_a_word_about_tokens_has_none() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.turn_completed(T, U, "completed");
        let outcome = turn.finish().await.unwrap();
        assert_eq!((outcome.usage, outcome.usage_with_agents), (None, None));
    })
    .await;
}

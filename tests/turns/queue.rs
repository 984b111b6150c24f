//! The queue of a thread, and its stored history.

use cas_sdk::{
    Error,
    protocol::{ReviewTarget, ThreadItem, ThreadStartParams},
    testing::{Gate, Reply},
    turn::{QueueState, StartedBy},
};
use serde_json::json;

use crate::common::codex_test;

#[tokio::test]
async fn an_input_in_the_queue_gets_a_turn_when_nothing_else_runs() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("at once"));
        let mut queued = thread.enqueue("first").await.unwrap();
        let QueueState::Taken(turn) = queued.wait().await.unwrap() else {
            panic!("nothing runs")
        };
        assert_eq!(turn.started_by(), StartedBy::Queue);
        assert_eq!(turn.finish().await.unwrap().text, "at once");

        let gate = Gate::new();
        rig.model.reply(Reply::new().hold(&gate).message("mine"));
        let asked = thread.ask("second").await.unwrap();
        let (mut third, fourth, mut fifth) = (
            thread.enqueue("third").await.unwrap(),
            thread.enqueue("fourth").await.unwrap(),
            thread.enqueue("fifth").await.unwrap(),
        );
        let listed = thread.queue().await.unwrap();
        let ids: Vec<_> = listed.iter().map(|queued| queued.id().to_owned()).collect();
        assert_eq!(ids, [third.id(), fourth.id(), fifth.id()]);
        assert!(fourth.withdraw().await.unwrap() && !fourth.withdraw().await.unwrap());
        rig.model.reply(Reply::text("the third"));
        rig.model.reply(Reply::text("the fifth"));
        gate.open();
        assert_eq!(asked.finish().await.unwrap().text, "mine");
        for (queued, text) in [(&mut third, "the third"), (&mut fifth, "the fifth")] {
            let QueueState::Taken(turn) = queued.wait().await.unwrap() else {
                panic!("{text}")
            };
            assert_eq!(turn.finish().await.unwrap().text, text);
        }
        let mut fourth = fourth;
        assert!(matches!(fourth.wait().await.unwrap(), QueueState::Gone));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_queue_is_held_after_an_interrupt_and_after_a_restart() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::new().delta("hm").hold(&Gate::new()));
        let asked = thread.ask("first").await.unwrap();
        rig.model.next_request().await;
        let mut queued = thread.enqueue("second").await.unwrap();
        asked.interrupt().await.unwrap();
        assert!(matches!(queued.wait().await.unwrap(), QueueState::Held));
        assert!(
            matches!(queued.wait().await.unwrap(), QueueState::Held),
            "it can be waited for again"
        );
        client.shutdown().await;

        let client = rig.client().await;
        let thread = client.resume_thread(thread.id()).await.unwrap();
        let mut left = thread.queue().await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].message_id(), queued.message_id());
        assert!(matches!(left[0].wait().await.unwrap(), QueueState::Held));
        rig.model.reply(Reply::text("at last"));
        left[0].release().await.unwrap();
        let QueueState::Taken(turn) = left[0].wait().await.unwrap() else {
            panic!("it was released")
        };
        assert_eq!(
            (
                turn.started_by(),
                turn.finish().await.unwrap().text.as_str()
            ),
            (StartedBy::Queue, "at last")
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_history_of_a_thread_is_the_same_in_both_modes() {
    codex_test(90, async |rig| {
        let client = rig.client().await;
        for mode in ["paginated", "legacy"] {
            let params: ThreadStartParams =
                serde_json::from_value(json!({"historyMode": mode})).unwrap();
            let thread = client.start_thread(params).await.unwrap();
            assert!(
                thread.history().all().await.unwrap().is_empty(),
                "{mode}: nothing yet"
            );
            for n in 0..25 {
                rig.model.reply(Reply::text(format!("answer {n}")));
                thread
                    .ask(format!("question {n}"))
                    .await
                    .unwrap()
                    .finish()
                    .await
                    .unwrap();
            }
            rig.model.reply(Reply::text("looks fine"));
            thread
                .review(ReviewTarget::custom("look"))
                .await
                .unwrap()
                .finish()
                .await
                .unwrap();
            rig.model.reply(Reply::text("the last"));
            thread
                .ask("the last")
                .await
                .unwrap()
                .finish()
                .await
                .unwrap();
            let text = |turn: &cas_sdk::protocol::Turn| {
                let mut texts = turn.items.iter().rev().filter_map(|item| match item {
                    ThreadItem::AgentMessage(message) => Some(message.text.clone()),
                    // In the mode `legacy` a review has no message.
                    ThreadItem::ExitedReviewMode(review) => Some(review.review.clone()),
                    _ => None,
                });
                texts.next().unwrap_or_default()
            };
            let mut expected: Vec<String> = (0..25).map(|n| format!("answer {n}")).collect();
            expected.extend(["looks fine".to_owned(), "the last".to_owned()]);
            let oldest: Vec<String> = thread
                .history()
                .all()
                .await
                .unwrap()
                .iter()
                .map(text)
                .collect();
            assert_eq!(oldest, expected, "{mode}");
            expected.reverse();
            let newest = thread.history().newest_first().all().await.unwrap();
            let newest: Vec<String> = newest.iter().map(text).collect();
            assert_eq!(newest, expected, "{mode}");
        }
        let params = ThreadStartParams::default().ephemeral(true);
        let thread = client.start_thread(params).await.unwrap();
        rig.model.reply(Reply::text("gone"));
        thread.ask("x").await.unwrap().finish().await.unwrap();
        let error = thread.history().all().await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("ephemeral")),
            "{error:?}"
        );
        client.shutdown().await;
    })
    .await;
}

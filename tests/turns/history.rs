//! The stored history of a thread, which the server keeps in two ways: who reads it sees no difference.

use cas_sdk::{
    CasClient, Error, Thread,
    history::HistoryQuery,
    protocol::{ReviewTarget, ThreadItem, ThreadStartParams},
    testing::{Gate, Reply},
};
use serde_json::json;

use crate::common::{Rig, codex_test};

const MODES: [&str; 2] = ["paginated", "legacy"];

async fn start(client: &CasClient, mode: &str) -> Thread {
    let params: ThreadStartParams = serde_json::from_value(json!({"historyMode": mode})).unwrap();
    client.start_thread(params).await.unwrap()
}

async fn ask(rig: &Rig, thread: &Thread, answer: &str) {
    rig.model.reply(Reply::text(answer));
    let turn = thread.ask("a question").await.unwrap();
    assert_eq!(turn.finish().await.unwrap().text, answer);
}

#[tokio::test]
async fn the_history_of_a_thread_is_the_same_in_both_modes() {
    codex_test(90, async |rig| {
        let client = rig.client().await;
        for mode in MODES {
            let thread = start(&client, mode).await;
            assert!(
                thread.history().all().await.unwrap().is_empty(),
                "{mode}: nothing yet"
            );
            for n in 0..25 {
                ask(&rig, &thread, &format!("answer {n}")).await;
            }
            rig.model.reply(Reply::text("looks fine"));
            thread
                .review(ReviewTarget::custom("look"))
                .await
                .unwrap()
                .finish()
                .await
                .unwrap();
            ask(&rig, &thread, "the last").await;
            let text = |turn: &cas_sdk::protocol::TurnInfo| {
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

#[tokio::test]
async fn stored_threads_of_both_modes_are_read_with_their_turns() {
    codex_test(90, async |rig| {
        let client = rig.client().await;
        let mut asked = Vec::new();
        for mode in MODES {
            let thread = start(&client, mode).await;
            ask(&rig, &thread, "one").await;
            rig.model.reply(Reply::text("looks fine"));
            let review = thread.review(ReviewTarget::custom("look")).await.unwrap();
            review.finish().await.unwrap();
            ask(&rig, &thread, "two").await;
            asked.push(thread.id().to_owned());
        }
        let mut threads = client.history(HistoryQuery::default().include_turns(true));
        let mut read = Vec::new();
        while let Some(stored) = threads.next().await {
            let stored = stored.unwrap();
            if !asked.iter().any(|id| id == stored.id()) {
                continue; // The hidden thread of a review.
            }
            assert_eq!(stored.turns_error, None);
            let turns = stored.turns.as_ref().unwrap().iter();
            let turns: Vec<_> = turns.map(|turn| turn.turn().unwrap()).collect();
            let history = client.thread(stored.id()).history().all().await.unwrap();
            assert_eq!(turns.len(), 3, "without the hidden turn of the review");
            assert_eq!(turns, history);
            assert!(turns.iter().all(|turn| turn.items.len() >= 2), "{turns:?}");
            read.push(stored.id().to_owned());
        }
        read.sort();
        asked.sort();
        assert_eq!(read, asked);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_is_far_too_slow_has_the_whole_outcome_from_the_record() {
    codex_test(60, async |rig| {
        let builder = rig.builder().event_queue(2, 1_000_000);
        let client = builder.spawn().await.unwrap();
        for mode in MODES {
            let thread = start(&client, mode).await;
            let mut reply = Reply::new();
            for n in 0..20 {
                reply = reply.message(format!("message number {n}"));
            }
            rig.model.reply(reply);
            let mut ends = client.events(cas_sdk::Filter::all().method("turn/completed"));
            let turn = thread.ask("hi").await.unwrap();
            // All of it has come, and most of it was dropped.
            ends.next().await.unwrap().unwrap();
            let outcome = turn.finish().await.unwrap();
            assert!(outcome.recovered);
            assert_eq!(outcome.text, "message number 19", "{mode}");
            assert_eq!(outcome.items.len(), 21, "{mode}, with the user's");
            assert!(outcome.items.iter().all(|i| i.completed), "{mode}");
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_detached_turn_is_read_again_and_its_beginning_comes_from_the_record() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        for mode in MODES {
            let thread = start(&client, mode).await;
            let gate = Gate::new();
            let reply = Reply::new().message("before").message("there").hold(&gate);
            rig.model.reply(reply.message("after"));
            let mut turn = thread.ask("hi").await.unwrap();
            while turn.partial_outcome().text != "there" {
                turn.next().await.unwrap().unwrap();
            }
            let control = turn.detach();
            let late = control.follow();
            gate.open();
            let outcome = late.finish().await.unwrap();
            assert!(outcome.recovered, "{mode}");
            let over = control.follow().finish().await.unwrap();
            for outcome in [outcome, over] {
                let end = (outcome.text.as_str(), outcome.items.len());
                assert_eq!(end, ("after", 4), "{mode}: {:?}", outcome.items);
            }
        }
        client.shutdown().await;
    })
    .await;
}

//! Several readers of a turn, slow ones, and what the server's record adds.

use cas_sdk::{
    Event, Thread, Turn, TurnEvent,
    client::Pages,
    protocol::ThreadListParams,
    testing::{Gate, Reply},
    turn::TurnControl,
};

use crate::common::codex_test;

#[test]
fn turns_and_threads_can_be_used_in_other_tasks() {
    fn everywhere<T: Send + Sync + 'static>() {}
    fn elsewhere<T: Send + 'static>() {}
    everywhere::<Turn>();
    everywhere::<TurnControl>();
    everywhere::<Thread>();
    everywhere::<Event>();
    elsewhere::<Pages<ThreadListParams>>();
    elsewhere::<cas_sdk::turn::StructuredAsk<String>>();
}

#[tokio::test]
async fn a_reader_that_comes_in_the_middle_has_the_whole() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model.reply(
            Reply::new()
                .reasoning("let me see")
                .delta("first ")
                .delta("half, ")
                .hold(&gate)
                .delta("second ")
                .delta("half"),
        );
        let mut first = thread.ask("hi").await.unwrap();
        while !matches!(first.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        let second = first.follow();
        gate.open();
        for mut turn in [first.follow(), second] {
            let (mut text, mut reasoning) = (String::new(), String::new());
            while let Some(event) = turn.next().await {
                match event.unwrap() {
                    TurnEvent::Text { delta, .. } => text.push_str(&delta),
                    TurnEvent::Reasoning { delta, .. } => reasoning.push_str(&delta),
                    _ => {}
                }
            }
            assert_eq!(
                (text.as_str(), reasoning.as_str()),
                ("first half, second half", "let me see")
            );
        }
        assert_eq!(
            first.finish().await.unwrap().text,
            "first half, second half"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_is_far_too_slow_has_the_whole_outcome_from_the_record() {
    codex_test(60, async |rig| {
        let client = rig
            .builder()
            .event_queue(2, 1_000_000)
            .spawn()
            .await
            .unwrap();
        let thread = client
            .start_thread(cas_sdk::protocol::ThreadStartParams::default())
            .await
            .unwrap();
        let mut reply = Reply::new();
        for n in 0..20 {
            reply = reply.message(format!("message number {n}"));
        }
        rig.model.reply(reply);
        let mut ends = client.events(cas_sdk::Filter::all().method("turn/completed"));
        let turn = thread.ask("hi").await.unwrap();
        ends.next().await.unwrap().unwrap(); // All of it has come, and most of it was dropped.
        let outcome = turn.finish().await.unwrap();
        assert!(outcome.recovered);
        assert_eq!(outcome.text, "message number 19");
        assert_eq!(outcome.items.len(), 21, "with the user's");
        assert!(outcome.items.iter().all(|i| i.completed));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_detached_turn_is_read_again_and_its_beginning_comes_from_the_record() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model.reply(
            Reply::new()
                .message("before")
                .message("there")
                .hold(&gate)
                .message("after"),
        );
        let mut turn = thread.ask("hi").await.unwrap();
        while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { delta: t, .. } if t == "there") {}
        let control = turn.detach();
        let late = control.follow();
        gate.open();
        let outcome = late.finish().await.unwrap();
        assert!(outcome.recovered);
        assert_eq!((outcome.text.as_str(), outcome.items.len()), ("after", 4));
        let over = control.follow().finish().await.unwrap();
        assert_eq!((over.text.as_str(), over.items.len()), ("after", 4));
        client.shutdown().await;
    }).await;
}

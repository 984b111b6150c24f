//! Several readers of a turn.

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

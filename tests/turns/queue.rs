//! The queue of a thread.

use cas_sdk::{
    testing::{Gate, Reply},
    turn::{QueueState, StartedBy},
};

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

//! Requests whose answers are lost: how they fail, and how to find out what has become of them.

use std::time::Duration;

use cas_sdk::{
    CasClient, Error, ErrorClass, Thread,
    protocol::{ThreadReadParams, ThreadStartParams},
    testing::{Gate, Reply},
    turn::MessageState,
};
use serde_json::json;

use crate::{
    common::{Rig, codex_test, eventually},
    cut::Cut,
    listener::{Listener, builder, socket},
};

/// A server, a connection to it that can be cut, and a thread with one completed turn.
async fn scene(rig: &Rig) -> (Listener, Cut, CasClient, Thread) {
    let listener = Listener::unix(rig).await;
    let cut = Cut::before(&socket(rig));
    let client = builder(rig).connect_to(&cut.address).await.unwrap();
    let params = ThreadStartParams::default();
    let thread = client.start_thread(params).await.unwrap();
    rig.model.reply(Reply::text("first"));
    thread.ask("begin").await.unwrap().finish().await.unwrap();
    (listener, cut, client, thread)
}

/// The same thread on another connection.
async fn again(rig: &Rig, listener: &Listener, thread: &Thread) -> Thread {
    let client = builder(rig).connect_to(&listener.address).await.unwrap();
    client.resume_thread(thread.id()).await.unwrap()
}

fn id(error: Error, called: &str) -> String {
    assert_eq!(error.class(), ErrorClass::Indeterminate);
    assert!(!error.is_retryable() && error.close_reason().is_some());
    match error {
        Error::Indeterminate { method, id, .. } if method == called => id.expect("it has an id"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_turn_whose_answer_was_lost_is_found_by_its_message() {
    codex_test(60, async |rig| {
        let (listener, cut, _client, thread) = scene(&rig).await;
        rig.model.reply(Reply::text("heard"));
        cut.mute();
        let (asked, ()) = tokio::join!(thread.ask("go"), async {
            rig.model.wait_for_requests(2).await;
            cut.cut();
        });
        let id = id(asked.unwrap_err(), "turn/start");
        let thread = again(&rig, &listener, &thread).await;
        let turn = loop {
            match thread.find_message(&id).await.unwrap() {
                MessageState::Delivered { turn } => break thread.turn(turn).await.unwrap(),
                MessageState::Pending => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(turn.finish().await.unwrap().text, "heard");
        assert_eq!(rig.model.request_count(), 2, "it was not sent again");
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_the_server_has_not_heard_of_is_absent() {
    codex_test(60, async |rig| {
        let (listener, cut, client, thread) = scene(&rig).await;
        cut.deafen();
        let (asked, ()) = tokio::join!(thread.ask("go"), async {
            eventually("the request is lost", || cut.has_lost_something()).await;
            cut.cut();
        });
        let id = id(asked.unwrap_err(), "turn/start");
        let after = client.request(ThreadReadParams::new(thread.id())).await;
        assert!(
            matches!(after, Err(Error::Closed(_))),
            "not sent: {after:?}"
        );
        let thread = again(&rig, &listener, &thread).await;
        let state = thread.find_message(&id).await.unwrap();
        assert!(matches!(state, MessageState::Missing), "{state:?}");
        assert_eq!(rig.model.request_count(), 1);
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_found_in_the_queue_and_in_the_turn_that_took_it() {
    codex_test(60, async |rig| {
        let (listener, cut, _client, thread) = scene(&rig).await;
        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("half").hold(&gate));
        rig.model.reply(Reply::text("and that"));
        let turn = thread.ask("go").await.unwrap();
        cut.mute();
        let (queued, ()) = tokio::join!(thread.enqueue("and then"), async {
            eventually("the answer is lost", || cut.has_lost("\"result\"")).await;
            cut.cut();
        });
        let id = id(queued.unwrap_err(), "thread/queue/add");
        assert!(turn.finish().await.is_err());
        let thread = again(&rig, &listener, &thread).await;
        let state = thread.find_message(&id).await.unwrap();
        let MessageState::Queued(queued) = &state else {
            panic!("{state:?}")
        };
        assert_eq!(queued.message_id(), id);
        gate.open();
        eventually("the next turn asks the model", || {
            rig.model.request_count() == 3
        })
        .await;
        let state = thread.find_message(&id).await.unwrap();
        let MessageState::Delivered { turn } = state else {
            panic!("{state:?}")
        };
        let turn = thread.turn(turn).await.unwrap();
        assert_eq!(turn.finish().await.unwrap().text, "and that");
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_message_for_a_busy_turn_is_undecided_until_the_turn_has_taken_it() {
    codex_test(60, async |rig| {
        let (listener, cut, _client, thread) = scene(&rig).await;
        let command = "while [ ! -e go ]; do sleep 0.1; done";
        let wait = json!({"cmd": command, "yield_time_ms": 30_000});
        rig.model
            .reply(Reply::new().function_call("c-1", "exec_command", wait));
        rig.model.reply(Reply::text("done"));
        let mut events = thread.events();
        let turn = thread.ask("go").await.unwrap();
        loop {
            let event = events.next().await.unwrap().unwrap();
            let is_command = event.item_type() == Some("commandExecution");
            if event.method() == "item/started" && is_command {
                break;
            }
        }
        cut.mute();
        let (steered, ()) = tokio::join!(turn.steer("and this"), async {
            eventually("the answer is lost", || cut.has_lost("\"result\"")).await;
            cut.cut();
        });
        let id = id(steered.unwrap_err(), "turn/steer");
        let thread = again(&rig, &listener, &thread).await;
        let state = thread.find_message(&id).await.unwrap();
        assert!(matches!(state, MessageState::Pending), "{state:?}");
        std::fs::write(rig.home.work_dir().join("go"), "").unwrap();
        let taken = rig.model.wait_for_requests(3).await;
        assert!(taken[2].body().to_string().contains("and this"));
        let state = thread.find_message(&id).await.unwrap();
        let MessageState::Delivered { turn: found } = state else {
            panic!("{state:?}")
        };
        let found = thread.turn(found).await.unwrap();
        assert_eq!(found.id(), turn.id());
        assert_eq!(found.finish().await.unwrap().text, "done");
        listener.end().await;
    })
    .await;
}

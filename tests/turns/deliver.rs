//! Messages that are delivered to threads: what the model sees of them, what the receipt says, and
//! what is left when an answer is lost.

use std::time::Duration;

use cas_sdk::{
    Error, RpcErrorKind, Thread,
    protocol::ThreadStartParams,
    testing::{FakeServer, Gate, ModelRequest, Reply},
    turn::{Message, MessageState, QueueState, Receipt},
};
use serde_json::{Value, json};

use crate::common::{Rig, codex_test, eventually, scenes::polled, within};

/// The outputs of tools that no call of the model asked for: name, namespace and output.
fn posted(request: &ModelRequest) -> Vec<(String, String, Value)> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let outputs = request
        .input()
        .iter()
        .filter(|item| item["type"] == "function_call_output" && item["call_id"].is_null());
    outputs
        .map(|item| {
            let (name, namespace) = (text(item, "name"), text(item, "namespace"));
            (name, namespace, item["output"].clone())
        })
        .collect()
}

fn is_told(request: &ModelRequest, text: &str) -> bool {
    request.prompts().contains(&text)
}

async fn ended(thread: &Thread, turn: &str) -> String {
    let turn = thread.turn(turn).await.unwrap();
    turn.finish().await.unwrap().text
}

/// A thread with a turn that streams, and holds its answer until the gate opens.
async fn busy(rig: &Rig, thread: &Thread) -> (cas_sdk::Turn, Gate) {
    let gate = Gate::new();
    rig.model
        .reply(Reply::new().delta("half an ").hold(&gate).delta("answer"));
    let mut turn = thread.ask("begin").await.unwrap();
    while let Some(event) = turn.next().await {
        if matches!(event.unwrap(), cas_sdk::TurnEvent::Text { .. }) {
            break;
        }
    }
    (turn, gate)
}

#[tokio::test]
async fn an_idle_thread_begins_a_turn_with_any_message() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("one"));
        let receipt = thread.deliver(Message::now("the first")).await.unwrap();
        let Receipt::Started { turn } = &receipt else {
            panic!("{receipt:?}")
        };
        assert_eq!(receipt.turn_id(), Some(turn.as_str()));
        assert_eq!(ended(&thread, turn).await, "one");
        assert!(is_told(&rig.model.next_request().await, "the first"));

        rig.model.reply(Reply::text("two"));
        let message = Message::from_agent("ci_bot", "the build is red");
        let id = message.id().to_owned();
        let receipt = thread.deliver(message).await.unwrap();
        let Receipt::Started { turn } = receipt else {
            panic!("{receipt:?}")
        };
        assert_eq!(ended(&thread, &turn).await, "two");
        let request = rig.model.next_request().await;
        let text = json!("the build is red");
        assert_eq!(posted(&request), [("ci_bot".into(), id, text)]);
        assert_eq!(request.prompts(), ["the first"], "the user said nothing");

        rig.model.reply(Reply::text("three"));
        let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-```\n+'''\n";
        let message = Message::patch("fixer", diff);
        let receipt = thread.deliver(message).await.unwrap();
        assert!(matches!(receipt, Receipt::Started { .. }), "{receipt:?}");
        let request = rig.model.next_request().await;
        let (name, _, output) = posted(&request).pop().unwrap();
        assert_eq!(name, "fixer");
        assert!(
            output[0]["text"]
                .as_str()
                .unwrap()
                .contains("not been applied")
        );
        assert_eq!(output[1]["text"], diff, "as it is");
        ended(&thread, receipt.turn_id().unwrap()).await;

        rig.model.reply(Reply::text("four"));
        let receipt = thread
            .deliver(Message::next_turn("the next"))
            .await
            .unwrap();
        let Receipt::Queued(mut queued) = receipt else {
            panic!("{receipt:?}")
        };
        let QueueState::Taken(turn) = queued.wait().await.unwrap() else {
            panic!("nothing runs")
        };
        assert_eq!(turn.finish().await.unwrap().text, "four");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_busy_thread_is_steered_now_and_aborted_by_nothing_else() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        let (turn, _gate) = busy(&rig, &thread).await;
        rig.model.next_request().await;
        rig.model.reply(Reply::text("another answer"));
        let receipt = thread.deliver(Message::now("stop")).await.unwrap();
        assert!(
            matches!(&receipt, Receipt::Steered { turn: of } if of == turn.id()),
            "{receipt:?}"
        );
        let request = rig.model.next_request().await;
        assert_eq!(request.prompts(), ["begin", "stop"]);
        let aborted = |request: &ModelRequest| request.body().to_string().contains("half an");
        assert!(!aborted(&request), "what was streamed is lost");
        assert_eq!(turn.finish().await.unwrap().text, "another answer");

        let (turn, gate) = busy(&rig, &thread).await;
        rig.model.next_request().await;
        let queued = thread.deliver(Message::next_turn("later")).await.unwrap();
        assert!(matches!(queued, Receipt::Queued(_)), "{queued:?}");
        let message = Message::from_agent("ci_bot", "it is green");
        let receipt = thread.deliver(message).await.unwrap();
        assert!(
            matches!(&receipt, Receipt::Posted { turn: of } if of == turn.id()),
            "{receipt:?}"
        );
        rig.model.reply(Reply::text("noted"));
        rig.model.reply(Reply::text("later it is"));
        gate.open();
        let request = rig.model.next_request().await;
        assert!(aborted(&request), "the answer was completed");
        assert_eq!(posted(&request)[0].0, "ci_bot");
        assert!(!is_told(&request, "it is green") && !is_told(&request, "later"));
        turn.finish().await.unwrap();
        assert!(is_told(&rig.model.next_request().await, "later"));
        let Receipt::Queued(mut queued) = queued else {
            unreachable!()
        };
        assert!(matches!(queued.wait().await.unwrap(), QueueState::Taken(_)));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_is_not_followed_is_reached_all_the_same() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("hello"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        rig.model.next_request().await;
        thread.unsubscribe().await.unwrap();

        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("half").hold(&gate));
        let first = thread.deliver(Message::now("one")).await.unwrap();
        assert!(matches!(first, Receipt::Started { .. }), "{first:?}");
        rig.model.next_request().await;
        let agent = Message::from_agent("ci", "two");
        let posted = thread.deliver(agent).await.unwrap();
        assert!(matches!(posted, Receipt::Posted { .. }), "{posted:?}");
        assert_eq!(posted.turn_id(), first.turn_id());
        let receipt = thread.deliver(Message::next_turn("three")).await.unwrap();
        let Receipt::Queued(mut queued) = receipt else {
            panic!("{receipt:?}")
        };
        rig.model.otherwise(Reply::text("done"));
        let steered = thread.deliver(Message::now("four")).await.unwrap();
        assert!(matches!(steered, Receipt::Steered { .. }), "{steered:?}");
        assert_eq!(steered.turn_id(), first.turn_id());
        let QueueState::TakenUnseen { turn } = queued.wait().await.unwrap() else {
            panic!("it is not followed")
        };
        assert_ne!(Some(turn.as_str()), first.turn_id());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_held_or_withdrawn_message_is_reported_without_following_its_thread() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        let (turn, _gate) = busy(&rig, &thread).await;
        let receipt = thread.deliver(Message::next_turn("later")).await.unwrap();
        let Receipt::Queued(mut queued) = receipt else {
            panic!("{receipt:?}")
        };
        turn.interrupt().await.unwrap();
        thread.unsubscribe().await.unwrap();
        assert!(matches!(queued.wait().await.unwrap(), QueueState::Held));
        assert!(queued.withdraw().await.unwrap());
        assert!(matches!(queued.wait().await.unwrap(), QueueState::Gone));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_patch_reaches_the_model_whole_or_is_refused() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("a lot"));
        let diff = "+line\n".repeat(1_600);
        let message = Message::patch("fixer", diff.as_str());
        let receipt = thread.deliver(message).await.unwrap();
        ended(&thread, receipt.turn_id().unwrap()).await;
        let (_, _, output) = posted(&rig.model.next_request().await).pop().unwrap();
        assert_eq!(output[1]["text"], diff);
        // Codex would cut the middle out.
        let message = Message::patch("fixer", diff.repeat(2));
        let refused = thread.deliver(message).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Invalid(text) if text.contains("10000")),
            "{refused:?}"
        );
        assert_eq!(rig.model.request_count(), 1, "nothing was sent");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_in_another_process_is_reached_through_its_queue() {
    codex_test(120, async |rig| {
        let (holder, thread) = rig.thread().await;
        rig.model.reply(Reply::text("hello"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        rig.model.next_request().await;
        let mut turns = thread.turns();

        let outside = rig.client().await;
        let elsewhere = outside.thread(thread.id());
        // Idle there.
        rig.model.reply(Reply::text("from the queue"));
        let receipt = elsewhere.deliver(Message::now("one")).await.unwrap();
        let Receipt::Queued(mut queued) = receipt else {
            panic!("{receipt:?}")
        };
        let QueueState::TakenUnseen { turn } = queued.wait().await.unwrap() else {
            panic!("it runs elsewhere")
        };
        let seen = turns.next().await.unwrap().unwrap();
        assert_eq!(seen.id(), turn);
        assert_eq!(seen.finish().await.unwrap().text, "from the queue");
        rig.model.next_request().await;

        // Busy there.
        let (running, gate) = busy(&rig, &thread).await;
        rig.model.next_request().await;
        rig.model.reply(Reply::text("then this"));
        let receipt = elsewhere.deliver(Message::now("two")).await.unwrap();
        let Receipt::Queued(mut queued) = receipt else {
            panic!("{receipt:?}")
        };
        gate.open();
        assert_eq!(running.finish().await.unwrap().text, "half an answer");
        assert!(matches!(
            queued.wait().await.unwrap(),
            QueueState::TakenUnseen { .. }
        ));
        assert!(is_told(&rig.model.next_request().await, "two"));

        // An agent gets the authority of the user only if it is asked for.
        let agent = || Message::from_agent("ci", "it is red");
        let refused = elsewhere.deliver(agent()).await.unwrap_err();
        assert_eq!(refused.rpc_kind(), Some(RpcErrorKind::ThreadMissing));
        assert!(elsewhere.queue().await.unwrap().is_empty());
        rig.model.reply(Reply::text("I see"));
        let agent = agent().or_queue_as_user();
        let receipt = elsewhere.deliver(agent).await.unwrap();
        assert!(matches!(receipt, Receipt::Queued(_)), "{receipt:?}");
        let request = rig.model.next_request().await;
        assert!(is_told(&request, "Message from ci:\n\nit is red"));
        outside.shutdown().await;
        holder.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_message_is_found_by_its_id_wherever_it_is() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("hello"));
        let message = Message::from_agent("ci", "hi");
        let agent = message.id().to_owned();
        let receipt = thread.deliver(message).await.unwrap();
        let began = receipt.turn_id().unwrap().to_owned();
        ended(&thread, &began).await;
        let (turn, gate) = busy(&rig, &thread).await;
        let (next, never) = (Message::next_turn("later"), Message::now("never sent"));
        let [next_id, never_id] = [&next, &never].map(|message| message.id().to_owned());
        let _ = thread.deliver(next).await.unwrap();
        let state = thread.find_message(&agent).await.unwrap();
        assert!(
            matches!(&state, MessageState::Delivered { turn } if *turn == began),
            "{state:?}"
        );
        let state = thread.find_message(&next_id).await.unwrap();
        assert!(matches!(&state, MessageState::Queued(_)), "{state:?}");
        let state = thread.find_message(&never_id).await.unwrap();
        assert!(matches!(&state, MessageState::Pending), "{state:?}");
        let MessageState::Queued(queued) = thread.find_message(&next_id).await.unwrap() else {
            panic!("it waits")
        };
        assert!(queued.withdraw().await.unwrap());
        gate.open();
        turn.finish().await.unwrap();
        for id in [next_id, never_id] {
            let state = thread.find_message(&id).await.unwrap();
            assert!(matches!(&state, MessageState::Missing), "{state:?}");
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_is_given_up_at_any_point_does_nothing_twice_and_can_be_found() {
    codex_test(180, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.otherwise(Reply::text("yes"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        let messages: [fn(String) -> Message; 3] = [
            |text| Message::now(text),
            |text| Message::next_turn(text),
            |text| Message::from_agent("ci", text),
        ];
        for (kind, message) in messages.into_iter().enumerate() {
            for times in 1..60 {
                let text = format!("message {kind} after {times}");
                let message = message(text.clone());
                let id = message.id().to_owned();
                let done = polled(thread.deliver(message), times).await;
                // What was sent has been carried out when a later request is answered.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let state = loop {
                    match thread.find_message(&id).await.unwrap() {
                        MessageState::Delivered { .. } => break true,
                        MessageState::Missing => break false,
                        _ => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                };
                if let Some(turn) = thread.running_turn().await.unwrap() {
                    turn.finish().await.unwrap();
                }
                rig.model.clear_requests();
                let turn = thread.ask("and now?").await.unwrap();
                turn.finish().await.unwrap();
                let request = rig.model.requests().pop().unwrap();
                let body = request.body()["input"].to_string();
                assert_eq!(body.matches(&text).count(), usize::from(state), "{text}");
                if let Some(done) = done {
                    assert!(state, "{text}: {done:?}");
                    assert!(times > 1, "it has to wait for the answer");
                    break;
                }
            }
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_an_error_with_the_id_and_nothing_is_sent_again() {
    within(60, async {
        for lost in ["late", "dead", "odd"] {
            let builder = cas_sdk::CasClient::builder().request_timeout(Duration::from_secs(1));
            let (client, server) = FakeServer::connect(builder).await.unwrap();
            server.opens("t1");
            let thread = client
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            server.leave("turn/start");
            let message = Message::now("only once");
            let id = message.id().to_owned();
            let deliver = thread.deliver(message);
            let answer = async {
                let request = server.next("turn/start").await;
                assert_eq!(request.params()["clientUserMessageId"], id);
                match lost {
                    "late" => tokio::time::sleep(Duration::from_secs(2)).await,
                    "dead" => server.die(),
                    _ => request.reply(json!({"turn": 5})),
                }
            };
            let (error, ()) = tokio::join!(deliver, answer);
            let error = error.unwrap_err();
            let Error::Indeterminate { method, id: of, .. } = &error else {
                panic!("{lost}: {error:?}")
            };
            assert_eq!((method.as_str(), of.as_deref()), ("turn/start", Some(&*id)));
            assert!(!error.is_retryable(), "{lost}");
            assert!(error.to_string().contains(&id), "{error}");
            assert_eq!(server.calls("turn/start"), 1);
            if lost == "dead" {
                eventually("the connection ends", || server.is_closed()).await;
                // Nothing is sent any more, and that is certain.
                client.closed().await;
                let error = thread.deliver(Message::now("x")).await.unwrap_err();
                assert!(matches!(error, Error::Closed(_)), "{error:?}");
            }
        }
    })
    .await;
}

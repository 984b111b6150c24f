//! Messages that are delivered to a server that the test plays: what the real one does only by chance.

use cas_sdk::{
    CasClient, Thread,
    protocol::ThreadStartParams,
    testing::FakeServer,
    turn::{Message, MessageState, Receipt},
};
use serde_json::{Value, json};

use crate::common::within;

/// A thread of a server that the test plays.
async fn played() -> (CasClient, FakeServer, Thread) {
    let builder = CasClient::builder();
    let (client, server) = FakeServer::connect(builder).await.unwrap();
    server.opens("t1");
    let params = ThreadStartParams::default();
    let thread = client.start_thread(params).await.unwrap();
    (client, server, thread)
}

/// A message with this id, on the record of a turn.
fn message_of(turn: &str, id: &Value) -> Value {
    let item = json!({"type": "userMessage", "id": "i1", "content": [], "clientId": id});
    json!({"turnId": turn, "createdAt": 1, "item": item})
}

#[tokio::test]
async fn a_message_follows_the_server_to_the_turn_that_runs_and_begins_one_if_none_does() {
    within(60, async {
        let (_client, server, thread) = played().await;
        server.turn_started("t1", "u1");
        server.settled(thread.client()).await;
        server.leave("turn/start");
        let asked = async {
            // The turns change faster than the client hears of it.
            let steer = server.next("turn/steer").await;
            assert_eq!(steer.params()["expectedTurnId"], "u1");
            let first = steer.params()["clientUserMessageId"].clone();
            steer.refuse(-32600, "expected active turn id `u1` but found `u2`");
            let steer = server.next("turn/steer").await;
            assert_eq!(steer.params()["expectedTurnId"], "u2");
            assert_eq!(steer.params()["clientUserMessageId"], first);
            steer.refuse(-32600, "no active turn to steer");
            let start = server.next("turn/start").await;
            assert_eq!(start.params()["clientUserMessageId"], first);
            let entry = message_of("u3", &first);
            server.answer("thread/items/list", move |_| {
                Ok(json!({"data": [entry], "nextCursor": null}))
            });
            start.reply(json!({"turn": {"id": "u3", "items": [], "status": "inProgress"}}));
        };
        let deliver = thread.deliver(Message::now("go on"));
        let (receipt, ()) = tokio::join!(deliver, asked);
        let receipt = receipt.unwrap();
        assert!(
            matches!(&receipt, Receipt::Started { turn } if turn == "u3"),
            "{receipt:?}"
        );
        assert_eq!(server.calls("turn/steer"), 2);
        assert_eq!(server.calls("turn/start"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_between_the_queue_and_the_record_is_looked_for_twice() {
    within(60, async {
        let (_client, server, thread) = played().await;
        server.answer("thread/queue/list", |_| {
            Ok(json!({"data": [], "nextCursor": null}))
        });
        let mut looked = 0;
        server.answer("thread/items/list", move |_| {
            looked += 1;
            let entry = message_of("u1", &json!("m1"));
            let data = if looked > 1 { vec![entry] } else { Vec::new() };
            Ok(json!({"data": data, "nextCursor": null}))
        });
        let state = thread.find_message("m1").await.unwrap();
        assert!(
            matches!(&state, MessageState::Delivered { turn } if turn == "u1"),
            "{state:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_agents_message_asks_to_be_kept_when_the_thread_is_compacted() {
    within(60, async {
        let (_client, server, thread) = played().await;
        server.leave("turn/start");
        let message = Message::from_agent("ci", "it is red");
        let id = message.id().to_owned();
        let asked = async {
            let start = server.next("turn/start").await;
            let output = &start.params()["toolOutput"];
            assert_eq!(output["retain"], true, "{output}");
            assert_eq!(output["namespace"], id);
            start.refuse(-32600, "that is all");
        };
        let (receipt, ()) = tokio::join!(thread.deliver(message), asked);
        assert!(receipt.unwrap_err().rpc().is_some());
    })
    .await;
}

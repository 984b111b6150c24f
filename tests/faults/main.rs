//! What the real server won't do, played by the fake one: ends that are never told, refusals, floods, deaths.

#[path = "../common/mod.rs"]
mod common;

mod asked;
mod bounds;
mod ends;
mod facts;
mod interrupts;
mod pages;
mod readers;
mod refusals;
mod retries;
mod sends;
mod starts;
mod usage;
mod websocket;

use cas_sdk::{
    Builder, CasClient, Error, Thread, Turn, TurnEvent, protocol::ThreadStartParams,
    testing::FakeServer, turn::TurnError,
};
use serde_json::{Value, json};

/// The thread and the turn of nearly all tests.
const T: &str = "thr-1";
const U: &str = "turn-1";

/// A client with a thread on a fake server.
async fn rig() -> (CasClient, FakeServer, Thread) {
    rig_with(CasClient::builder()).await
}

async fn rig_with(builder: Builder) -> (CasClient, FakeServer, Thread) {
    let (client, server) = FakeServer::connect(builder).await.unwrap();
    server.opens(T);
    let thread = client
        .start_thread(ThreadStartParams::default())
        .await
        .unwrap();
    (client, server, thread)
}

/// With a turn that the server has accepted.
async fn accepted() -> (CasClient, FakeServer, Turn) {
    let (client, server, thread) = rig().await;
    server.starts(U);
    let turn = thread.ask("go").await.unwrap();
    (client, server, turn)
}

/// With a turn that runs.
async fn running() -> (CasClient, FakeServer, Turn) {
    let (client, server, mut turn) = accepted().await;
    server.turn_started(T, U);
    assert!(matches!(turn.next().await, Some(Ok(TurnEvent::Started))));
    (client, server, turn)
}

/// What the server says of the thread when it is asked.
fn thread_is(server: &FakeServer, status: &str) {
    let read = json!({"thread": FakeServer::thread(T, status)});
    server.answer("thread/read", move |_| Ok(read.clone()));
}

/// What the server has on record of the turn.
fn on_record(server: &FakeServer, status: &str, items: &[Value]) {
    let turns = json!({"data": [{"id": U, "items": [], "status": status, "durationMs": 7}], "nextCursor": null});
    server.answer("thread/turns/list", move |_| Ok(turns.clone()));
    let entries: Vec<_> = items
        .iter()
        .map(|item| json!({"turnId": U, "item": item}))
        .collect();
    let items = json!({"data": entries, "nextCursor": null});
    server.answer("thread/items/list", move |params| {
        assert_eq!(params["turnId"], U);
        Ok(items.clone())
    });
}

fn message(id: &str, text: &str) -> Value {
    json!({"type": "agentMessage", "id": id, "text": text, "phase": null})
}

fn turn_error(error: Error) -> TurnError {
    match error {
        Error::Turn(error) => *error,
        other => panic!("{other:?}"),
    }
}

/// The texts that a reader gets until the end, and the outcome's text.
async fn read(mut turn: Turn) -> (String, String) {
    let mut text = String::new();
    while let Some(event) = turn.next().await {
        match event.unwrap() {
            TurnEvent::Text { delta, .. } => text.push_str(&delta),
            TurnEvent::Completed(outcome) => return (text, outcome.text),
            _ => {}
        }
    }
    panic!("no end")
}

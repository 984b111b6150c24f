//! Every request of the server, answered well, refused, failed, answered with nonsense and left unanswered; against the
//! real codex wherever it asks, else against a scripted peer.

#![allow(
    clippy::large_futures,
    reason = "a test goes through a list of builders"
)]

#[path = "../common/mod.rs"]
mod common;

mod agents;
mod approvals;
mod attacks;
mod auth;
mod clock;
mod dispatch;
mod elicitation;
mod fallback;
mod files;
mod limits;
mod opened;
mod permissions;
mod policy;
mod threads;
mod tool_names;
mod tools;
mod unknown;
mod user_input;

use cas_sdk::{CasClient, Error, Thread, Turn, TurnOutcome, protocol::ThreadStartParams};
use common::Rig;
use serde_json::Value;

/// A thread with the defaults.
async fn start(client: &CasClient) -> Thread {
    let params = ThreadStartParams::default();
    client
        .start_thread(params)
        .await
        .expect("the thread starts")
}

/// A turn, run to its end, however it ends.
async fn turn(thread: &Thread) -> TurnOutcome {
    ended(thread.ask("go").await.expect("the turn starts")).await
}

async fn ended(turn: Turn) -> TurnOutcome {
    match turn.finish().await {
        Ok(outcome) => outcome,
        Err(Error::Turn(error)) => error.outcome,
        Err(error) => panic!("{error:?}"),
    }
}

/// What the model was told of a call in its latest request.
fn told(rig: &Rig, call: &str) -> String {
    let requests = rig.model.requests();
    let last = requests.last().expect("the model was asked");
    match last.tool_output(call) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => panic!("no output of {call}"),
    }
}

/// An item of a turn, as it was in the end.
fn item(outcome: &TurnOutcome, id: &str) -> Value {
    let items = outcome.items.iter();
    items
        .map(|i| serde_json::to_value(&i.item).expect("an item is JSON"))
        .find(|i| i["id"] == id)
        .unwrap_or_else(|| panic!("no item {id} in {:?}", outcome.items))
}

//! Malformed bytes, floods, slow readers and dropped futures: each costs only itself.

#[path = "../common/mod.rs"]
mod common;

mod cancelled;
mod ends;
mod floods;
mod foreign;
mod limits;
mod long;
mod odd;
mod requests;
mod responses;
mod storm;
mod websocket;
mod window;

use cas_sdk::{CasClient, Error, Event, Events};
use common::raw::RawServer;
use serde_json::{Value, json};

async fn ask(client: &CasClient, method: &str) -> Result<Value, Error> {
    client.call(method, json!({})).await
}

async fn next(events: &mut Events) -> Event {
    events.next().await.expect("the stream goes on").unwrap()
}

/// Deeply nested brackets.
fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Values to put in the place of any object.
fn odd_values() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "5",
        "-1e400",
        "99999999999999999999",
        "\"x\"",
        "\"\\ud800\"",
        "[]",
        "[1]",
        "{}",
        r#"{"threadId":5,"turnId":{},"itemId":[],"turn":7,"item":[],"thread":"t","requestId":{}}"#,
        r#"{"threadId":"thr-1","turnId":"turn-1","item":{"id":5,"type":7},"turn":{"id":[]}}"#,
        r#"{"threadId":"thr-1","turnId":"turn-1","item":{"id":"i","type":"neverHeardOf"},"turn":{"id":"turn-1","status":"odd"}}"#,
        r#"{"threadId":"thr-1","turnId":null,"questions":5,"decision":{},"arguments":null,"tool":[]}"#,
        r#"{"threadId":"a","threadId":"b","threadId":7}"#,
    ]
    .map(str::to_owned)
    .into();
    values.push(deep(100_000));
    values.push(format!(r#"{{"threadId":"thr-1","x":{}}}"#, deep(1_000)));
    values
}

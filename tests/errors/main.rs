//! The table of refusals against the real codex, which detects reworded messages.

#[path = "../common/mod.rs"]
mod common;
mod threads;
mod turns;

use std::{process::Stdio, time::Duration};

use cas_sdk::{CasClient, Error, Filter, RpcErrorKind as Kind, error::RpcError};
use common::{codex_test, within};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

/// A thread that no server has.
const NOBODY: &str = "0199d1a2-0000-7000-8000-000000000000";

/// Rows that a test here provokes.
const PROVOKED: &[&str] = &[
    "Not initialized",
    "Already initialized",
    "thread not found: ",
    "thread not loaded: ",
    "no rollout found for thread id ",
    "no archived rollout found for thread id ",
    "rollout at ",
    "failed to resolve rollout path ",
    "missing source rollout",
    "list_turns is not supported yet",
    " is not materialized yet",
    " already has an active writer",
    "session ",
    "no active turn to steer",
    "no active turn to interrupt",
    "authentication required",
    "Invalid ",
    "invalid ",
    "failed to load configuration: ",
    "input schema is not supported for ",
    " must ",
    " exceeds total ",
    "do not support",
    "does not support",
    "only supports",
    "is not supported yet",
];

/// Rows that cannot be provoked, with the reasons.
const OUT_OF_REACH: &[(&str, &str)] = &[
    (
        "Server is draining",
        "only a server on a socket drains; on stdio the signal ends the process at once",
    ),
    (
        "empty session file",
        "the words of older versions for a rollout file that was created and never written",
    ),
    (
        "thread ",
        "the words of other versions for \"session … is archived\"",
    ),
];

/// Kinds that are told by the code alone: -32001 (`Overloaded`) needs more requests in flight than
/// the client allows itself, and -32603 (`Internal`) a failure inside the server.
const TABLE: &str = include_str!("../../src/error/rpc.rs");

#[test]
fn every_row_of_the_table_is_provoked_here_or_has_an_excuse() {
    let table = |name: &str| {
        let (_, table) = TABLE.split_once(name).expect("the table");
        table.split_once("];").expect("its end").0
    };
    let tables = [table("const THREADS"), table("const TABLE")];
    let texts = tables
        .iter()
        .flat_map(|table| table.split("Text::").skip(1));
    let mut rows: Vec<&str> = texts.filter_map(|row| row.split('"').nth(1)).collect();
    rows.sort_unstable();
    let excused = OUT_OF_REACH.iter().map(|(row, _)| row);
    let mut known: Vec<&str> = PROVOKED.iter().chain(excused).copied().collect();
    known.sort_unstable();
    assert_eq!(rows, known);
}

async fn refusal(client: &CasClient, method: &str, params: Value) -> RpcError {
    match client.call::<Value>(method, &params).await {
        Err(Error::Rpc { source, .. }) => source.clone(),
        other => panic!("{method} {params} was not refused: {other:?}"),
    }
}

/// The kind, and the row that it must come from.
async fn expect(client: &CasClient, method: &str, params: Value, row: &str, kind: Kind) {
    assert!(row.is_empty() || PROVOKED.contains(&row), "{row}");
    let error = refusal(client, method, params).await;
    assert!(error.message.contains(row), "{method}: {error}");
    assert_eq!(error.kind(), kind, "{method}: {error}");
}

async fn start(client: &CasClient, params: Value) -> String {
    let answer: Value = client.call("thread/start", &params).await.unwrap();
    answer["thread"]["id"].as_str().unwrap().to_owned()
}

/// Runs a turn to its end.
async fn turn(client: &CasClient, thread: &str) {
    let mut ends = client.events(Filter::all().method("turn/completed").thread(thread));
    let params = json!({ "threadId": thread, "input": [{ "type": "text", "text": "x" }] });
    let _: Value = client.call("turn/start", &params).await.unwrap();
    ends.next().await.unwrap().unwrap();
}

/// Starts a turn by this method. Returns its id once it has started.
async fn running(client: &CasClient, method: &str, params: Value) -> String {
    let mut started = client.events(Filter::all().method("turn/started"));
    let _: Value = client.call(method, &params).await.unwrap();
    let started = started.next().await.unwrap().unwrap();
    started.turn_id().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_that_is_wrong_in_itself_is_refused() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let thread = start(&client, json!({})).await;
        let long = "x".repeat(1_048_577);
        for (method, params, row, kind) in [
            ("no/such/method", json!({}), "", Kind::UnknownMethod),
            (
                "initialize",
                json!({ "clientInfo": { "name": "again", "version": "1" } }),
                "Already initialized",
                Kind::AlreadyInitialized,
            ),
            (
                "thread/start",
                json!({ "sandbox": "nope" }),
                "Invalid ",
                Kind::InvalidParams,
            ),
            ("thread/read", json!({}), "Invalid ", Kind::InvalidParams),
            (
                "thread/start",
                json!({ "modelProvider": "nope" }),
                "failed to load configuration: ",
                Kind::InvalidParams,
            ),
            (
                "thread/start",
                json!({ "dynamicTools": [{ "type": "function", "name": "t", "description": "", "inputSchema": { "type": "null" } }] }),
                "input schema is not supported for ",
                Kind::InvalidParams,
            ),
            (
                "experimentalFeature/list",
                json!({ "cursor": "99999" }),
                " exceeds total ",
                Kind::InvalidParams,
            ),
            (
                "experimentalFeature/list",
                json!({ "cursor": "zzz" }),
                "invalid ",
                Kind::InvalidParams,
            ),
            (
                "turn/steer",
                json!({ "threadId": thread, "expectedTurnId": "", "input": [{ "type": "text", "text": "x" }] }),
                " must ",
                Kind::InvalidParams,
            ),
            (
                "account/rateLimits/read",
                Value::Null,
                "authentication required",
                Kind::AuthRequired,
            ),
            (
                "turn/start",
                json!({ "threadId": thread, "input": [{ "type": "text", "text": long }] }),
                "",
                Kind::InputTooLarge { max_chars: 1_048_576, actual_chars: 1_048_577 },
            ),
        ] {
            expect(&client, method, params, row, kind).await;
        }
        client.shutdown().await;
    }).await;
}

/// The client does not send requests before the handshake or without a capability, so this is done
/// by hand.
#[tokio::test]
async fn a_method_before_the_handshake_or_beyond_what_it_allows_is_refused() {
    codex_test(120, async |rig| {
        let codex = cas_sdk::testing::codex().await.unwrap();
        let mut child = Command::new(codex)
            .arg("app-server")
            .env_clear()
            .envs(rig.home.env())
            .current_dir(rig.home.work_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ask = async |id: u64, method: &str, params: Value| -> Value {
            let line = json!({ "id": id, "method": method, "params": params }).to_string() + "\n";
            stdin.write_all(line.as_bytes()).await.unwrap();
            loop {
                let line = lines.next_line().await.unwrap().expect("an answer");
                let line: Value = serde_json::from_str(&line).unwrap();
                if line["id"] == id {
                    return line;
                }
            }
        };
        within(60, async {
            let error = |answer: &Value| {
                let error = &answer["error"];
                let message = error["message"].as_str().unwrap_or_default();
                RpcError::new(error["code"].as_i64().unwrap_or_default(), message, None)
            };
            let answer = ask(1, "thread/list", json!({})).await;
            assert_eq!(error(&answer).kind(), Kind::NotInitialized, "{answer}");
            let me = json!({ "clientInfo": { "name": "cas", "version": "1" } });
            let answer = ask(2, "initialize", me).await;
            assert!(answer["error"].is_null(), "{answer}");
            let answer = ask(3, "collaborationMode/list", json!({})).await;
            let what = "collaborationMode/list".to_owned();
            let kind = Kind::ExperimentalRequired { what };
            assert_eq!(error(&answer).kind(), kind, "{answer}");
            let answer = ask(4, "thread/start", json!({ "dynamicTools": [] })).await;
            let what = "thread/start.dynamicTools".to_owned();
            let kind = Kind::ExperimentalRequired { what };
            assert_eq!(error(&answer).kind(), kind, "{answer}");
        })
        .await;
        drop(stdin);
        let _ = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
    })
    .await;
}

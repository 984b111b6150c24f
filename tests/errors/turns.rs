//! Turns that do not run, are others, or fail.

use cas_sdk::{
    RpcErrorKind as Kind,
    testing::{Gate, Reply},
};
use serde_json::json;

use crate::{common::codex_test, expect, running, start, turn};

#[tokio::test]
async fn a_turn_that_does_not_run_or_is_another_can_be_neither_steered_nor_interrupted() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let thread = start(&client, json!({})).await;
        let steer = json!({
            "threadId": thread, "expectedTurnId": "wrong", "input": [{ "type": "text", "text": "x" }],
        });
        let interrupt = json!({ "threadId": thread, "turnId": "wrong" });
        let row = "no active turn to steer";
        expect(&client, "turn/steer", steer.clone(), row, Kind::NoActiveTurn).await;
        let row = "no active turn to interrupt";
        expect(&client, "turn/interrupt", interrupt.clone(), row, Kind::NoActiveTurn).await;

        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("one").hold(&gate));
        let params = json!({ "threadId": thread, "input": [{ "type": "text", "text": "x" }] });
        let mismatch = Kind::TurnMismatch {
            expected: "wrong".into(),
            actual: running(&client, "turn/start", params).await,
        };
        expect(&client, "turn/steer", steer, "", mismatch.clone()).await;
        expect(&client, "turn/interrupt", interrupt, "", mismatch).await;
        gate.open();
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn a_compaction_can_not_be_steered() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let thread = start(&client, json!({})).await;
        rig.model.reply(Reply::text("one"));
        turn(&client, &thread).await;
        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("so far").hold(&gate));
        let params = json!({ "threadId": thread });
        let steer = json!({
            "threadId": thread,
            "expectedTurnId": running(&client, "thread/compact/start", params).await,
            "input": [{ "type": "text", "text": "x" }],
        });
        let kind = Kind::NotSteerable {
            turn_kind: "compact".into(),
        };
        expect(&client, "turn/steer", steer, "", kind).await;
        gate.open();
        client.shutdown().await;
    })
    .await;
}

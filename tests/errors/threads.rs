//! Threads that are missing, damaged, archived or elsewhere.

use std::path::{Path, PathBuf};

use cas_sdk::{RpcErrorKind as Kind, testing::Reply};
use serde_json::{Value, json};

use crate::{NOBODY, common::codex_test, expect, refusal, start, turn};

#[tokio::test]
async fn a_request_that_names_a_missing_thread_is_refused() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let id = json!({ "threadId": NOBODY });
        for (method, params, row, kind) in [
            (
                "turn/start",
                json!({ "threadId": NOBODY, "input": [] }),
                "thread not found: ",
                Kind::ThreadMissing,
            ),
            (
                "thread/read",
                id.clone(),
                "thread not loaded: ",
                Kind::ThreadMissing,
            ),
            (
                "thread/resume",
                id.clone(),
                "no rollout found for thread id ",
                Kind::ThreadMissing,
            ),
            (
                "thread/fork",
                id.clone(),
                "no rollout found for thread id ",
                Kind::ThreadMissing,
            ),
            (
                "thread/unarchive",
                id,
                "no archived rollout found for thread id ",
                Kind::ThreadMissing,
            ),
            (
                "thread/read",
                json!({ "threadId": "nope" }),
                "invalid ",
                Kind::InvalidParams,
            ),
            (
                "thread/resume",
                json!({ "threadId": "nope" }),
                "invalid ",
                Kind::InvalidParams,
            ),
            (
                "thread/queue/add",
                json!({ "threadId": NOBODY, "input": [], "clientUserMessageId": "c" }),
                "no rollout found for thread id ",
                Kind::ThreadMissing,
            ),
        ] {
            expect(&client, method, params, row, kind).await;
        }
        client.shutdown().await;
    })
    .await;
}

/// The file of a thread, below a home.
fn rollout(dir: &Path, thread: &str) -> PathBuf {
    let mut dirs = vec![dir.join("sessions")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.to_string_lossy().contains(thread) {
                return path;
            }
        }
    }
    panic!("no file of {thread}")
}

#[tokio::test]
async fn a_thread_whose_file_is_empty_or_gone_is_missing_and_one_that_is_damaged_is_not() {
    codex_test(120, async |rig| {
        type Damage = fn(&Path);
        let empty: Damage = |file| std::fs::write(file, "").unwrap();
        let gone: Damage = |file| std::fs::remove_file(file).unwrap();
        let headless: Damage = |file| {
            let text = std::fs::read_to_string(file).unwrap();
            std::fs::write(file, text.split_once('\n').unwrap().1).unwrap();
        };
        for (mode, damage, method, row, kind) in [
            (
                "paginated",
                empty,
                "thread/resume",
                "rollout at ",
                Kind::ThreadMissing,
            ),
            (
                "legacy",
                empty,
                "thread/read",
                "rollout at ",
                Kind::ThreadMissing,
            ),
            (
                "legacy",
                gone,
                "thread/resume",
                "failed to resolve rollout path ",
                Kind::ThreadMissing,
            ),
            (
                "paginated",
                gone,
                "thread/fork",
                "missing source rollout",
                Kind::ThreadMissing,
            ),
            ("paginated", headless, "thread/resume", "", Kind::Internal),
        ] {
            let client = rig.client().await;
            let thread = start(&client, json!({ "historyMode": mode })).await;
            rig.model.reply(Reply::text("one"));
            turn(&client, &thread).await;
            client.shutdown().await;
            damage(&rollout(&rig.home.path(), &thread));
            let client = rig.client().await;
            let params = json!({ "threadId": thread, "excludeTurns": true });
            expect(&client, method, params, row, kind).await;
            client.shutdown().await;
        }
    })
    .await;
}

#[tokio::test]
async fn turns_of_threads_that_have_none_stored_can_not_be_read() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let new = start(&client, json!({})).await;
        let params = json!({ "threadId": new, "includeTurns": true });
        let error = refusal(&client, "thread/read", params.clone()).await;
        assert_eq!(error.code, -32601, "{error}");
        let row = "list_turns is not supported yet";
        expect(&client, "thread/read", params, row, Kind::NoTurnsYet).await;
        let row = "is not supported yet";
        let items = json!({ "threadId": new });
        expect(&client, "thread/items/list", items, row, Kind::Unsupported).await;
        let legacy = start(&client, json!({ "historyMode": "legacy" })).await;
        let row = " is not materialized yet";
        let turns = json!({ "threadId": legacy });
        expect(&client, "thread/turns/list", turns, row, Kind::NoTurnsYet).await;
        let row = "only supports";
        let revert = json!({ "threadId": legacy, "beforeTurnId": "x" });
        expect(&client, "thread/revert", revert, row, Kind::Unsupported).await;
        let ephemeral = start(&client, json!({ "ephemeral": true })).await;
        let params = json!({ "threadId": ephemeral, "includeTurns": true });
        expect(
            &client,
            "thread/read",
            params,
            "do not support",
            Kind::Unsupported,
        )
        .await;
        let row = "does not support";
        let goal = json!({ "threadId": ephemeral });
        expect(&client, "thread/goal/get", goal, row, Kind::Unsupported).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_of_another_process_and_an_archived_one_can_not_be_resumed() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let thread = start(&client, json!({})).await;
        rig.model.reply(Reply::text("one"));
        turn(&client, &thread).await;
        let params = json!({ "threadId": thread });
        let other = rig.client().await;
        let row = " already has an active writer";
        expect(
            &other,
            "thread/resume",
            params.clone(),
            row,
            Kind::ActiveWriter,
        )
        .await;
        other.shutdown().await;

        let _: Value = client.call("thread/archive", &params).await.unwrap();
        expect(&client, "thread/resume", params, "session ", Kind::Archived).await;
        client.shutdown().await;
    })
    .await;
}

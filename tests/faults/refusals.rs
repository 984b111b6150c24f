//! What a refusal means, and that it says so.

use std::error::Error as _;

use cas_sdk::{
    Error, ErrorClass, RpcErrorKind as Kind,
    error::RpcError,
    protocol::{ThreadResumeParams, ThreadStartParams},
    testing::FakeServer,
    thread::OpenedBy,
};
use serde_json::json;

use crate::common::within;
use crate::{T, U, rig, running, turn_error};

/// What the server says of a thread that it has nothing of.
const MISSING: [(i64, &str); 8] = [
    (-32600, "no rollout found for thread id T"),
    (-32600, "thread not found: T"),
    (-32600, "thread not loaded: T"),
    (
        -32603,
        "failed to read thread: invalid thread-store request: no rollout found for thread id T",
    ),
    (
        -32603,
        "failed to read thread: thread-store internal error: failed to read session metadata /no/such/rollout.jsonl: rollout at /no/such/rollout.jsonl is empty",
    ),
    (
        -32603,
        "failed to load rollout `/no/such/rollout.jsonl`: empty session file",
    ),
    (-32601, "list_turns is not supported yet"),
    (
        -32600,
        "failed to resolve rollout path `/no/such/rollout.jsonl`: file does not exist",
    ),
];

fn refuse(server: &FakeServer, method: &str, code: i64, message: &str) {
    let refusal = RpcError::new(code, message, None);
    server.answer(method, move |_| Err(refusal.clone()));
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_a_thread_that_is_not_stored_lets_a_new_one_start() {
    within(600, async {
        for (code, message) in MISSING {
            let (client, server, _thread) = rig().await;
            refuse(&server, "thread/resume", code, message);
            refuse(&server, "thread/read", -32600, "thread not loaded: T");
            let error = client.resume_thread("T").await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::ThreadMissing, "{error}");
            let resume = client.resume_thread("T");
            let thread = resume.or_start(ThreadStartParams::default()).await.unwrap();
            assert_eq!(thread.opened_by(), OpenedBy::Started, "{message}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_says_something_else_starts_no_new_thread() {
    within(600, async {
        for (code, message) in [
            (
                -32600,
                "session T is archived. Run `codex unarchive T` to unarchive it first.",
            ),
            (-32600, "thread T is archived"),
            (-32600, "thread T already has an active writer"),
            (
                -32600,
                "invalid session id: invalid length: expected length 32 for simple format, found 0",
            ),
            (
                -32603,
                "rollout at /r.jsonl does not start with session metadata",
            ),
            (-32600, "queue is empty"),
            (-32601, "thread/items/list is not supported yet"),
            (-32603, "disk on fire"),
        ] {
            let (client, server, _thread) = rig().await;
            refuse(&server, "thread/resume", code, message);
            let resume = client.resume_thread("T");
            let error = resume
                .or_start(ThreadStartParams::default())
                .await
                .unwrap_err();
            assert_eq!(error.rpc().map(|e| e.message.as_str()), Some(message));
            assert_ne!(error.class(), ErrorClass::ThreadMissing, "{message}");
            assert_eq!(
                server.calls("thread/start"),
                1,
                "{message}: that of the rig"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_archived_thread_is_brought_back_however_the_server_says_that_it_is() {
    within(20, async {
        for message in [
            "thread T is archived",
            "session T is archived. Run `codex unarchive T`",
        ] {
            let (client, server, _thread) = rig().await;
            let archived = std::sync::atomic::AtomicBool::new(true);
            let refusal = RpcError::new(-32600, message, None);
            server.answer("thread/resume", move |_| {
                if archived.swap(false, std::sync::atomic::Ordering::Relaxed) {
                    return Err(refusal.clone());
                }
                Ok(json!({"thread": FakeServer::thread(T, "idle")}))
            });
            server.answer("thread/unarchive", |_| {
                Ok(json!({"thread": FakeServer::thread(T, "notLoaded")}))
            });
            let thread = client.resume_thread("T").or_unarchive().await.unwrap();
            assert_eq!(thread.opened_by(), OpenedBy::Unarchived, "{message}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_history_of_ones_own_is_not_left_behind_by_a_fork_or_a_new_thread() {
    within(20, async {
        let params = || -> ThreadResumeParams {
            serde_json::from_value(json!({"threadId": "T", "history": [{"type": "message", "role": "user", "content": []}]})).unwrap()
        };
        let (client, server, _thread) = rig().await;
        refuse(&server, "thread/resume", -32600, "thread T already has an active writer");
        let error = client.resume_thread(params()).or_fork().await.unwrap_err();
        assert_eq!(error.rpc_kind(), Some(Kind::ActiveWriter));
        assert_eq!(server.calls("thread/fork"), 0);

        refuse(&server, "thread/resume", -32600, "no rollout found for thread id T");
        let resume = client.resume_thread(params());
        let error = resume.or_start(ThreadStartParams::default()).await.unwrap_err();
        assert!(error.to_string().contains("`history`"), "{error}");
        assert_eq!(server.calls("thread/start"), 1, "that of the rig");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_why_and_so_does_the_end_of_a_connection() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        refuse(&server, "thread/read", -32600, "thread not loaded: T");
        let error = thread.fetch().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "thread/read was refused: thread not loaded: T (-32600)"
        );
        assert!(error.source().is_none(), "it is not said twice");

        let (client, server, turn) = running().await;
        server.delta(T, U, "m", "half");
        server.die();
        client.closed().await;
        let error = turn.finish().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Closed);
        let text = error.to_string();
        assert!(
            text.starts_with("the connection ended during the turn: "),
            "{text}"
        );
        let error = turn_error(error).outcome;
        assert_eq!(error.text, "half");
        let error = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("the connection to codex app-server has ended: "),
            "{text}"
        );
        assert_eq!(error.class(), ErrorClass::Closed);
    })
    .await;
}

#[tokio::test]
async fn a_long_refusal_does_not_fill_the_log() {
    within(20, async {
        let (_client, server, thread) = rig().await;
        let refusal = RpcError::new(
            -32603,
            "m".repeat(100_000),
            Some(json!({"more": "d".repeat(100_000)})),
        );
        server.answer("thread/read", move |_| Err(refusal.clone()));
        let error = thread.fetch().await.unwrap_err();
        for text in [
            error.to_string(),
            format!("{error:?}"),
            format!("{error:#?}"),
        ] {
            assert!(text.len() < 5_000, "{} bytes", text.len());
        }
        let Error::Rpc { source, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(source.message.len(), 100_000, "what it said is there whole");
    })
    .await;
}

#[tokio::test]
async fn a_limit_says_when_it_resets_and_is_not_to_be_retried() {
    within(20, async {
        let resets = std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
        let (_client, server, turn) = running().await;
        server.notify("account/rateLimits/updated", json!({"rateLimits": {
            "limitId": "codex",
            "primary": {"usedPercent": 100, "windowDurationMins": 300, "resetsAt": 4_000_000_000_u64},
            "secondary": {"usedPercent": 30, "windowDurationMins": 10_080, "resetsAt": 4_100_000_000_u64},
        }}));
        server.notify("error", json!({"threadId": T, "turnId": U, "willRetry": false, "error":
            {"message": "You’ve hit your usage limit.", "codexErrorInfo": "usageLimitExceeded"}}));
        server.turn_completed(T, U, "failed");
        let error = turn.finish().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::RateLimited { resets_at: Some(resets) });
        assert!(!error.is_retryable());
        assert_eq!(turn_error(error).outcome.failure.unwrap().resets_at, Some(resets));
    })
    .await;
}

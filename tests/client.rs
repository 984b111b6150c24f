//! Starts, calls and ends, against the real codex.

mod common;

use std::time::{Duration, Instant};

use cas_sdk::{
    CasClient, Error, RpcErrorKind,
    error::{CloseCause, SpawnError},
    protocol::*,
};
use common::{Rig, codex_test, eventually, is_alive, within};
use serde_json::{Value, json};

#[tokio::test]
async fn the_handshake_tells_the_version_and_the_home() {
    codex_test(120, async |rig| {
        let client = within(30, rig.client()).await;
        let server = client.server().unwrap();
        let output = std::process::Command::new(rig.codex())
            .arg("--version")
            .output();
        let version = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(server.version(), version.trim().strip_prefix("codex-cli "));
        assert_eq!(server.codex_home, rig.home.path().to_str().unwrap());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_three_named_calls_work() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let features = client
            .list_experimental_features(ExperimentalFeatureListParams::default())
            .await
            .unwrap();
        assert!(features.data.len() > 100, "{}", features.data.len());

        let steer = TurnSteerParams::new(thread.id(), "turn-x", cas_sdk::Input::from("x"));
        let error = client.steer_turn(steer).await.unwrap_err();
        assert_eq!(
            error.rpc_kind(),
            Some(RpcErrorKind::NoActiveTurn),
            "{error:?}"
        );

        let error = client.resume_thread(thread.id()).await.unwrap_err();
        assert_eq!(
            error.rpc_kind(),
            Some(RpcErrorKind::ThreadMissing),
            "{error:?}"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_refusal_names_the_method_the_code_and_the_message() {
    codex_test(120, async |rig| {
        let client = within(30, rig.client()).await;
        let error = client
            .call::<Value>("no/such/method", &json!({}))
            .await
            .unwrap_err();
        let Error::Rpc { method, source } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(method, "no/such/method");
        assert_eq!(source.code, -32600);
        assert!(source.message.contains("no/such/method"));
        assert_eq!(error.rpc_kind(), Some(RpcErrorKind::UnknownMethod));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_experimental_method_is_refused_before_it_is_sent_when_the_api_is_off() {
    codex_test(120, async |rig| {
        let client = within(30, rig.builder().experimental_api(false).spawn())
            .await
            .unwrap();
        let error = client
            .request(ThreadLoadedListParams::default())
            .await
            .map(drop);
        assert!(error.is_ok(), "a stable method works: {error:?}");
        let error = client
            .request(CollaborationModeListParams::default())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("collaborationMode/list")),
            "{error:?}"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_codex_that_ends_at_once_is_reported_at_once_with_its_stderr() {
    codex_test(120, async |rig| {
        // The deadline of the handshake outlasts the limit of the test.
        let builder = rig.builder().env("CODEX_HOME", "/no/such/home");
        let builder = builder.handshake_timeout(Duration::from_secs(3_600));
        let error = within(30, builder.spawn()).await.unwrap_err();
        let Error::Spawn(SpawnError::Exited { reason, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(reason.status.and_then(|s| s.code()), Some(1));
        assert!(reason.stderr_tail.contains("/no/such/home"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn a_missing_codex_is_reported_with_the_remedy() {
    let error = CasClient::builder()
        .codex("/no/such/codex")
        .spawn()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/no/such/codex") && error.contains("npm install -g @openai/codex"),
        "{error}"
    );
}

#[tokio::test]
async fn a_working_directory_that_is_not_there_is_named() {
    let error = CasClient::builder()
        .codex("/bin/sh")
        .cwd("/no/such/dir")
        .spawn()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/no/such/dir"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_ended_after_the_handshakes_deadline() {
    let error = within(
        20,
        CasClient::builder()
            .codex("/bin/sh")
            .arg("-c")
            .handshake_timeout(Duration::from_millis(300))
            .spawn(),
    )
    .await
    .unwrap_err();
    // `sh app-server -c` ends at once; what hangs is `cat`.
    assert!(matches!(error, Error::Spawn(_)), "{error:?}");
    let (near, _far) = tokio::io::duplex(1024);
    let (read, write) = tokio::io::split(near);
    let builder = CasClient::builder()
        .handshake_timeout(Duration::from_millis(100))
        .stop_grace(Duration::from_millis(100));
    let error = within(20, builder.connect(read, write)).await.unwrap_err();
    let Error::Handshake(inner) = &error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(&**inner, Error::Timeout { method, .. } if method == "initialize"),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_last_client_dropped_ends_the_process() {
    codex_test(120, async |rig| {
        let client = within(30, rig.client()).await;
        let pid = client.pid().unwrap();
        let clone = client.clone();
        drop(client);
        clone
            .request(ThreadLoadedListParams::default())
            .await
            .expect("a clone keeps it alive");
        drop(clone);
        eventually("the process is gone", || !is_alive(pid)).await;
    })
    .await;
}

#[test]
fn the_end_of_the_runtime_ends_the_process() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some((client, pid)) = runtime.block_on(async {
        let rig = Rig::new().await?;
        let client = rig.client().await;
        let pid = client.pid().unwrap();
        Some((client, pid))
    }) else {
        return;
    };
    drop(runtime);
    let begun = Instant::now();
    while is_alive(pid) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the process outlived the runtime"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(client);
}

#[tokio::test]
async fn shutdown_waits_for_the_end_and_says_how_it_was() {
    codex_test(120, async |rig| {
        let client = within(30, rig.client()).await;
        let pid = client.pid().unwrap();
        let reason = within(30, client.shutdown()).await;
        assert!(!is_alive(pid));
        assert_eq!(reason.cause, CloseCause::Shutdown);
        assert_eq!(reason.status.and_then(|s| s.code()), Some(0));
        let after = client
            .request(ThreadLoadedListParams::default())
            .await
            .unwrap_err();
        assert!(matches!(after, Error::Closed(_)), "{after:?}");
    })
    .await;
}

#[tokio::test]
async fn a_killed_process_fails_what_waits_with_its_status() {
    codex_test(30, async |rig| {
        let client = rig.client().await;
        let mut events = client.events(cas_sdk::Filter::all().method("never"));
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(client.pid().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let Some(Err(Error::Closed(reason))) = events.next().await else {
            panic!("a stream is told")
        };
        assert_eq!(reason.cause, CloseCause::Exited, "{reason}");
        assert!(reason.to_string().contains("signal: 9"), "{reason}");
        assert!(events.next().await.is_none(), "once");
    })
    .await;
}

#[tokio::test]
async fn live_requests_are_answered_after_thousands_that_were_given_up() {
    use cas_sdk::protocol::ThreadListParams;
    codex_test(120, async |rig| {
        let client = rig.client().await;
        for patience in [0, 2] {
            for _ in 0..40 {
                let calls = (0..50).map(|_| {
                    let call = client.request(ThreadListParams::default()).into_future();
                    tokio::time::timeout(Duration::from_millis(patience), call)
                });
                futures_util::future::join_all(calls).await;
            }
            let live = (0..60).map(|_| {
                let live = client.request(ThreadLoadedListParams::default());
                live.into_future()
            });
            for answer in futures_util::future::join_all(live).await {
                answer.unwrap();
            }
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_all_answered() {
    codex_test(120, async |rig| {
        let client = rig.client().await;
        let calls = (0..1_000).map(|_| {
            client
                .request(ThreadLoadedListParams::default())
                .into_future()
        });
        for answer in futures_util::future::join_all(calls).await {
            answer.unwrap();
        }
        client.shutdown().await;
    })
    .await;
}

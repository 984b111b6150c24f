//! `currentTime/read` and `attestation/generate`.

use std::time::{Duration, UNIX_EPOCH};

use cas_sdk::{
    Builder, CasClient, Handlers,
    handlers::{HandlerError, RequestContext, UnclaimedRequest},
    protocol::{ThreadStartParams, TurnStatus},
    testing::{Reply, jwt},
};
use serde_json::{Value, json};

use crate::{
    auth,
    common::raw::RawServer,
    common::{Rig, within},
    opened::Log,
    start, turn,
};

/// One turn of a codex that asks the client for the time. Returns the status, and the failure or what the model was told.
/// A codex that no longer asks refuses to start such a thread, which is looked at in place of the turn.
async fn ask(builder: impl FnOnce(Builder) -> Builder) -> Option<(TurnStatus, String)> {
    let rig = Rig::with(cas_sdk::testing::CodexHomeBuilder::external_clock).await?;
    within(60, async {
        rig.model.reply(Reply::text("done"));
        let client = builder(rig.builder()).spawn().await.unwrap();
        if !asks_for_the_time(&client) {
            let refused = client.start_thread(ThreadStartParams::default()).await;
            let refused = refused.unwrap_err();
            let reason = &refused.rpc().unwrap().message;
            assert!(
                reason.contains("no external current-time provider"),
                "{reason}"
            );
            client.shutdown().await;
            return None;
        }
        let outcome = turn(&start(&client).await).await;
        client.shutdown().await;
        let told = match outcome.failure {
            Some(failure) => failure.message,
            None => rig.model.requests()[0].developer_texts().join("\n"),
        };
        Some((outcome.status, told))
    })
    .await
}

/// Codex 0.169 was the last that does.
fn asks_for_the_time(client: &CasClient) -> bool {
    let version = client.server().and_then(|server| server.version()).unwrap();
    let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
    minor < 171
}

#[tokio::test]
async fn a_clock_tells_a_server_that_asks_the_time_whatever_the_schema_says() {
    let clock = |cx: RequestContext| async move {
        assert_eq!(cx.thread_id.as_deref(), Some("t"));
        Ok(UNIX_EPOCH + Duration::from_millis(1_781_717_655_900))
    };
    within(20, async {
        let (_client, mut peer) = RawServer::connect_to(
            CasClient::builder().handlers(cas_sdk::Handlers::new().clock(clock)),
            "0.169.0",
        )
        .await;
        peer.request(1, "currentTime/read", json!({"threadId": "t"}))
            .await;
        assert_eq!(
            peer.next().await["result"],
            json!({"currentTimeAt": 1_781_717_655})
        );
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_the_server_never_calls_is_told_once() {
    let clock = |_: RequestContext| async { Ok(UNIX_EPOCH) };
    within(20, async {
        for (version, told) in [("0.169.0", 0), ("0.171.0", 1), ("0.180.0-alpha.1", 1)] {
            let log = Log::start();
            let builder = CasClient::builder().handlers(cas_sdk::Handlers::new().clock(clock));
            // A server that is started again is no news.
            for _ in 0..2 {
                RawServer::connect_to(builder.clone(), version).await;
            }
            let lines =
                log.lines("never sends currentTime/read: the Clock handler is never called");
            assert_eq!(lines.len(), told, "{version}: {lines:?}");
        }
        let log = Log::start();
        let (client, _peer) = RawServer::connect_to(CasClient::builder(), "0.171.0").await;
        assert_eq!(log.lines("never sends").len(), 0, "there is no handler");
        let _threads = client.with_handlers(Handlers::new().clock(clock));
        assert_eq!(log.lines("never sends currentTime/read").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_model_is_told_the_time_of_the_clients_clock() {
    let clock = |cx: RequestContext| async move {
        assert!(cx.thread_id.is_some());
        Ok(UNIX_EPOCH + Duration::from_millis(1_781_717_655_900))
    };
    let Some((status, told)) = ask(|b| b.handlers(cas_sdk::Handlers::new().clock(clock))).await
    else {
        return;
    };
    assert_eq!(status, TurnStatus::Completed);
    assert!(told.contains("It is 2026-06-17 17:34:15 UTC."), "{told}");
}

#[tokio::test]
async fn the_default_clock_is_that_of_this_machine() {
    let Some((status, told)) = ask(|b| b).await else {
        return;
    };
    assert_eq!(status, TurnStatus::Completed);
    assert!(told.contains("<current_time_reminder>It is 20"), "{told}");
}

#[tokio::test]
async fn a_clock_that_fails_fails_the_turn() {
    let failing = |_: RequestContext| async { Err(HandlerError::new("no battery")) };
    let Some((status, failure)) =
        ask(|b| b.handlers(cas_sdk::Handlers::new().clock(failing))).await
    else {
        return;
    };
    assert_eq!(status, TurnStatus::Failed);
    assert!(failure.contains("failed to read current time"), "{failure}");
    let nonsense = |_: UnclaimedRequest, _cx| async { Ok(json!({"currentTimeAt": "noon"})) };
    let Some((status, failure)) =
        ask(|b| b.handlers(cas_sdk::Handlers::new().fallback(nonsense))).await
    else {
        return;
    };
    assert_eq!(status, TurnStatus::Failed);
    assert!(failure.contains("failed to read current time"), "{failure}");
}

/// One turn with a ChatGPT login. Returns the attestation that the model's request carried.
async fn attested(builder: impl FnOnce(Builder) -> Builder) -> Option<Option<Value>> {
    let rig = Rig::with(auth::config).await?;
    within(60, async {
        rig.model.reply(Reply::text("done"));
        let client = builder(rig.builder()).spawn().await.unwrap();
        auth::login(&client, &jwt("org-1", "pro")).await;
        let outcome = turn(&start(&client).await).await;
        assert_eq!(outcome.text, "done", "an attestation never fails a turn");
        client.shutdown().await;
        let requests = rig.model.requests();
        let header = requests[0].header("x-oai-attestation");
        Some(header.map(|h| serde_json::from_str(h).unwrap()))
    })
    .await
}

#[tokio::test]
async fn the_attestation_goes_with_the_request_to_the_model() {
    let token = |_: RequestContext| async { Ok("v1.x".to_owned()) };
    let Some(header) = attested(|b| b.handlers(cas_sdk::Handlers::new().attestation(token))).await
    else {
        return;
    };
    assert_eq!(header, Some(json!({"v": 1, "s": 0, "t": "v1.x"})));
    let Some(header) = attested(|b| b).await else {
        return;
    };
    assert_eq!(header, None, "without a handler the server does not ask");
}

#[tokio::test]
async fn an_attestation_that_fails_or_is_late_is_said_to_have_failed() {
    let failing = |_: RequestContext| async { Err(HandlerError::new("no key")) };
    let Some(header) =
        attested(|b| b.handlers(cas_sdk::Handlers::new().attestation(failing))).await
    else {
        return;
    };
    assert_eq!(header, Some(json!({"v": 1, "s": 2})));
    let silent = |_: RequestContext| std::future::pending();
    let Some(header) = attested(|b| b.handlers(cas_sdk::Handlers::new().attestation(silent))).await
    else {
        return;
    };
    // Ours is the shorter limit, unless the machine is so busy that the server's passes too.
    let state = &header.as_ref().unwrap()["s"];
    assert!(*state == 2 || *state == 1, "{header:?}");
}

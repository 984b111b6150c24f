//! `currentTime/read` and `attestation/generate`.

use std::time::{Duration, UNIX_EPOCH};

use cas_sdk::{
    Builder, HandlerError, RequestContext, UnclaimedRequest,
    protocol::TurnStatus,
    testing::{Reply, jwt},
};
use serde_json::{Value, json};

use crate::{
    auth,
    common::{Rig, within},
    start, turn,
};

/// One turn of a codex that asks the client for the time. Returns the status, and the failure or what the model was told.
async fn ask(builder: impl FnOnce(Builder) -> Builder) -> Option<(TurnStatus, String)> {
    let rig = Rig::with(cas_sdk::testing::CodexHomeBuilder::external_clock).await?;
    within(60, async {
        rig.model.reply(Reply::text("done"));
        let client = builder(rig.builder()).spawn().await.unwrap();
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

#[tokio::test]
async fn the_model_is_told_the_time_of_the_clients_clock() {
    let clock = |cx: RequestContext| async move {
        assert!(cx.thread_id.is_some());
        Ok(UNIX_EPOCH + Duration::from_millis(1_781_717_655_900))
    };
    let Some((status, told)) = ask(|b| b.clock(clock)).await else {
        return;
    };
    assert_eq!(status, TurnStatus::Completed);
    assert!(told.contains("It is 2026-06-17 17:34:15 UTC."), "{told}");
}

#[tokio::test]
async fn without_a_clock_it_is_the_time_of_this_machine() {
    let Some((status, told)) = ask(|b| b).await else {
        return;
    };
    assert_eq!(status, TurnStatus::Completed);
    assert!(told.contains("<current_time_reminder>It is 20"), "{told}");
}

#[tokio::test]
async fn a_clock_that_fails_fails_the_turn() {
    let failing = |_: RequestContext| async { Err(HandlerError::new("no battery")) };
    let Some((status, failure)) = ask(|b| b.clock(failing)).await else {
        return;
    };
    assert_eq!(status, TurnStatus::Failed);
    assert!(failure.contains("failed to read current time"), "{failure}");
    let nonsense = |_: UnclaimedRequest, _cx| async { Ok(json!({"currentTimeAt": "noon"})) };
    let Some((status, failure)) = ask(|b| b.fallback(nonsense)).await else {
        return;
    };
    assert_eq!(status, TurnStatus::Failed);
    assert!(failure.contains("failed to read current time"), "{failure}");
}

/// One turn with a ChatGPT login. Returns the attestation that the model's request carried.
async fn attested(builder: impl FnOnce(Builder) -> Builder) -> Option<Option<Value>> {
    let rig = auth::rig().await?;
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
    let Some(header) = attested(|b| b.attestation(token)).await else {
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
    let Some(header) = attested(|b| b.attestation(failing)).await else {
        return;
    };
    assert_eq!(header, Some(json!({"v": 1, "s": 2})));
    let silent = |_: RequestContext| std::future::pending();
    let Some(header) = attested(|b| b.attestation(silent)).await else {
        return;
    };
    // Ours is the shorter limit, unless the machine is so busy that the server's passes too.
    let state = &header.as_ref().unwrap()["s"];
    assert!(*state == 2 || *state == 1, "{header:?}");
}

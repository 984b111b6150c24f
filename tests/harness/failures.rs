//! Failures that a `Reply` can play, as codex reports them: the table in the docs of `Reply`.

use cas_sdk::testing::{CodexHome, MockModel, Reply};
use serde_json::{Value, json};

use crate::{raw::Codex, scripted};

/// Plays the reply in a turn, which must fail, and returns the message and the `codexErrorInfo`.
/// The next turn must work.
async fn failure_of(reply: Reply) -> Option<(String, Value)> {
    let (model, _home, mut codex) = scripted().await?;
    let thread = codex.start_thread(json!({})).await;
    model.reply(reply);
    let mut turn = codex.turn(&thread, "hello").await;
    assert_eq!(turn["status"], "failed", "{turn}");
    let error = codex.notification("error").await;
    assert_eq!(error["willRetry"], false, "{error}");
    assert_eq!(error["error"]["message"], turn["error"]["message"]);

    // Every reply fails, since codex first asks for a summary to make room.
    model.otherwise(Reply::text("better now"));
    assert_eq!(codex.turn(&thread, "and now?").await["status"], "completed");
    assert_eq!(model.unexpected(), [""; 0]);
    codex.end().await;
    let message = turn["error"]["message"].as_str().unwrap().to_owned();
    Some((message, turn["error"]["codexErrorInfo"].take()))
}

/// A test for one row: its name, the reply, how the message begins, and the info.
macro_rules! fails {
    ($($name:ident: $reply:expr => $message:literal, $info:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let Some((message, info)) = failure_of($reply).await else { return };
            assert!(message.starts_with($message), "{message}");
            assert_eq!(info, $info);
        }
    )*};
}

fails! {
    a_failed_response: Reply::text("half").fail("server_error", "mock says no")
        => "stream disconnected before completion: mock says no", json!("other");
    a_failed_response_for_want_of_room: Reply::new().fail("context_length_exceeded", "too long")
        => "Codex ran out of room in the model's context window.", json!("contextWindowExceeded");
    a_failed_response_for_want_of_quota: Reply::new().fail("insufficient_quota", "pay")
        => "Quota exceeded. Check your plan and billing details.", json!("usageLimitExceeded");
    an_incomplete_response: Reply::new().delta("half").incomplete("max_output_tokens")
        => "Incomplete response returned, reason: max_output_tokens", json!("other");
    a_stream_that_ends_early: Reply::new().delta("half").end_early()
        => "stream disconnected before completion: stream closed before response.completed", json!("other");
    a_connection_that_drops: Reply::new().delta("half").drop_connection()
        => "stream disconnected before completion: Transport error: network error: error decoding response body", json!("other");
    a_success_that_is_no_stream: Reply::status(200, json!({ "id": "resp-1" }))
        => "stream disconnected before completion: stream closed before response.completed", json!("other");
    http_400: Reply::status(400, "what was that?")
        => "what was that?", json!("other");
    http_401_without_a_login: Reply::status(401, "no auth")
        => "unexpected status 401 Unauthorized: no auth, url: http://127.0.0.1:", json!({ "httpConnectionFailed": { "httpStatusCode": 401 } });
    http_429: Reply::status(429, json!({ "error": { "message": "slow down" } }))
        => "exceeded retry limit, last status: 429 Too Many Requests", json!({ "responseTooManyFailedAttempts": { "httpStatusCode": 429 } });
    http_429_for_a_used_up_plan: Reply::status(429, json!({ "error": { "type": "usage_limit_reached", "resets_at": 2_000_000_000 } }))
        => "You’ve hit your usage limit.", json!("usageLimitExceeded");
    http_500: Reply::status(500, json!({ "error": { "message": "boom" } }))
        => "We’re currently experiencing high demand", json!("internalServerError");
    http_503_for_an_overloaded_model: Reply::status(503, json!({ "error": { "code": "server_is_overloaded" } }))
        => "Selected model is at capacity.", json!("serverOverloaded");
}

#[tokio::test]
async fn a_broken_stream_is_retried_as_often_as_configured() {
    let model = MockModel::start().await;
    let home = CodexHome::builder(&model).retries(0, 2).build().unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    model.reply(Reply::new().delta("half").drop_connection());
    model.reply(Reply::text("whole"));
    let thread = codex.start_thread(json!({})).await;
    let turn = codex.turn(&thread, "hello").await;
    assert_eq!(turn["status"], "completed", "{turn}");
    assert_eq!(turn["items"][0]["text"], "whole");
    let error = codex.notification("error").await;
    assert_eq!(error["willRetry"], true);
    assert_eq!(error["error"]["message"], "Reconnecting... 1/2");
    assert_eq!(
        error["error"]["codexErrorInfo"],
        json!({ "responseStreamDisconnected": { "httpStatusCode": null } })
    );
    assert_eq!(model.requests().len(), 2);
    codex.end().await;
}

#[tokio::test]
async fn a_silent_stream_is_given_up_after_the_idle_timeout() {
    let model = MockModel::start().await;
    let timeout = std::time::Duration::from_millis(300);
    let home = CodexHome::builder(&model)
        .stream_idle_timeout(timeout)
        .build()
        .unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    model.reply(
        Reply::new()
            .delta("and then")
            .hold(&cas_sdk::testing::Gate::new()),
    );
    let thread = codex.start_thread(json!({})).await;
    let turn = codex.turn(&thread, "hello").await;
    assert_eq!(turn["status"], "failed", "{turn}");
    assert!(
        turn["error"]["message"]
            .as_str()
            .unwrap()
            .contains("idle timeout"),
        "{turn}"
    );
    codex.end().await;
}

#[tokio::test]
async fn a_request_without_a_reply_fails_the_turn_and_is_reported() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    let thread = codex.start_thread(json!({})).await;
    let turn = codex.turn(&thread, "hello").await;
    assert_eq!(turn["error"]["codexErrorInfo"], "internalServerError");
    let unexpected = model.unexpected();
    assert_eq!(unexpected.len(), 1);
    assert!(
        unexpected[0].starts_with("no reply scripted for ModelRequest"),
        "{unexpected:?}"
    );
    codex.end().await;
}

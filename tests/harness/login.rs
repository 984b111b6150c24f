//! A ChatGPT login with client-managed tokens, against the routes of the mock model.

use cas_sdk::testing::{CodexHome, MockModel, Reply, jwt};
use serde_json::{Value, json};

use crate::raw::Codex;

async fn logged_in(token: &str) -> Option<(MockModel, CodexHome, Codex)> {
    let model = MockModel::start().await;
    let home = CodexHome::builder(&model).chatgpt_auth().build().unwrap();
    let mut codex = Codex::start(&home).await?;
    codex
        .request(
            "account/login/start",
            tokens(token, Some("chatgptAuthTokens")),
        )
        .await;
    let completed = codex.notification("account/login/completed").await;
    assert_eq!(completed["success"], true, "{completed}");
    Some((model, home, codex))
}

fn tokens(token: &str, kind: Option<&str>) -> Value {
    let mut tokens =
        json!({ "accessToken": token, "chatgptAccountId": "org-1", "chatgptPlanType": "pro" });
    if let Some(kind) = kind {
        tokens["type"] = kind.into();
    }
    tokens
}

#[tokio::test]
async fn an_expired_token_is_refreshed_and_the_request_is_repeated() {
    let (old, new) = (jwt("org-1", "pro"), jwt("org-1", "pro"));
    let Some((model, _home, mut codex)) = logged_in(&old).await else {
        return;
    };
    model.require_bearer(&new);
    model.reply(Reply::text("welcome"));
    let thread = codex.start_thread(json!({})).await;
    codex.start_turn(&thread, "hello").await;
    let (id, params) = codex
        .server_request("account/chatgptAuthTokens/refresh")
        .await;
    assert_eq!(
        params,
        json!({ "reason": "unauthorized", "previousAccountId": "org-1" })
    );
    codex.answer(id, tokens(&new, None)).await;
    let turn = codex.end_of_turn().await;
    assert_eq!(turn["status"], "completed", "{turn}");

    let requests = model.requests();
    assert_eq!(
        requests
            .iter()
            .map(|request| request.bearer().unwrap())
            .collect::<Vec<_>>(),
        [&old, &new]
    );
    assert_eq!(requests[0].header("ChatGPT-Account-Id"), Some("org-1"));
    assert_eq!(model.unexpected(), [""; 0]);
    codex.end().await;
}

#[tokio::test]
async fn a_token_that_is_refused_after_the_refresh_fails_the_turn() {
    let Some((model, _home, mut codex)) = logged_in(&jwt("org-1", "pro")).await else {
        return;
    };
    model.require_bearer("no token at all");
    let thread = codex.start_thread(json!({})).await;
    codex.start_turn(&thread, "hello").await;
    let (id, _) = codex
        .server_request("account/chatgptAuthTokens/refresh")
        .await;
    codex.answer(id, tokens(&jwt("org-1", "pro"), None)).await;
    let turn = codex.end_of_turn().await;
    assert_eq!(turn["status"], "failed");
    assert_eq!(
        turn["error"]["codexErrorInfo"],
        json!({ "httpConnectionFailed": { "httpStatusCode": 401 } })
    );
    assert_eq!(model.requests().len(), 2);
    codex.end().await;
}

#[tokio::test]
async fn the_backend_tells_its_account_and_rate_limits() {
    let Some((model, _home, mut codex)) = logged_in(&jwt("org-1", "pro")).await else {
        return;
    };
    let limits = codex.request("account/rateLimits/read", json!({})).await;
    assert_eq!(limits["rateLimits"]["primary"]["usedPercent"], 0);
    assert_eq!(limits["accountId"], "org-1");

    let window = json!({ "used_percent": 97, "limit_window_seconds": 18000, "reset_after_seconds": 120, "reset_at": 2_000_000_000 });
    let usage = json!({
        "account_id": "org-1", "plan_type": "pro",
        "rate_limit": { "allowed": true, "limit_reached": false, "primary_window": window, "secondary_window": null },
    });
    model.route("GET", "/backend-api/wham/usage", 200, usage);
    let limits = codex.request("account/rateLimits/read", json!({})).await;
    assert_eq!(limits["rateLimits"]["primary"]["usedPercent"], 97);
    assert_eq!(model.route_calls("GET", "/backend-api/wham/usage"), 2);
    assert_eq!(model.unexpected(), [""; 0]);
    codex.end().await;
}

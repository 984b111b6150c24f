//! The choice of the reply to a request, and the other routes.

use cas_sdk::testing::{MockModel, ModelRequest, Reply};
use serde_json::json;
use tokio::task::JoinSet;

use crate::http::{ask, get, send};

/// The answer of the model to a request.
async fn said(model: &MockModel, model_name: &str) -> String {
    let mut answer = ask(model.address(), &json!({ "model": model_name })).await;
    let item = answer.until("response.output_item.done").await;
    item["item"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_queue_goes_before_the_function_and_the_function_before_the_rest() {
    let model = MockModel::start().await;
    model.otherwise(Reply::text("otherwise"));
    model.respond_with(|request: &ModelRequest| {
        (request.model() == "known").then(|| Reply::text("function"))
    });
    model.reply(Reply::text("queue"));
    assert_eq!(model.queued_replies(), 1);
    assert_eq!(said(&model, "known").await, "queue");
    assert_eq!(model.queued_replies(), 0);
    assert_eq!(said(&model, "known").await, "function");
    assert_eq!(said(&model, "unknown").await, "otherwise");
    assert_eq!(model.unexpected(), [""; 0]);
}

#[tokio::test]
async fn replies_taken_back_are_not_played() {
    let model = MockModel::start().await;
    model.reply(Reply::text("old"));
    model.clear_replies();
    model.reply(Reply::text("new"));
    assert_eq!(said(&model, "").await, "new");
}

#[tokio::test]
async fn a_request_without_a_reply_is_refused_and_reported() {
    let model = MockModel::start().await;
    let answer = ask(model.address(), &json!({ "model": "m" })).await;
    assert_eq!(answer.status, 500);
    let message = answer.json().await["error"]["message"].take();
    assert!(
        message.as_str().unwrap().starts_with("no reply scripted"),
        "{message}"
    );
    assert_eq!(model.unexpected(), [message.as_str().unwrap()]);
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn a_function_that_panics_is_reported_and_the_server_goes_on() {
    let model = MockModel::start().await;
    model.respond_with(|request: &ModelRequest| -> Reply {
        panic!("did not expect {}", request.model())
    });
    assert_eq!(
        ask(model.address(), &json!({ "model": "m" })).await.status,
        500
    );
    let unexpected = model.unexpected();
    assert!(
        unexpected[0].ends_with("panicked: did not expect m"),
        "{unexpected:?}"
    );
    model.reply(Reply::text("still here"));
    assert_eq!(said(&model, "").await, "still here");
}

#[tokio::test]
async fn many_requests_at_once_each_get_their_own_reply() {
    let model = MockModel::start().await;
    model.respond_with(|request: &ModelRequest| Reply::text(request.model()));
    let mut all = JoinSet::new();
    for number in 0..64 {
        let address = model.address();
        all.spawn(async move {
            let mut answer = ask(address, &json!({ "model": format!("m{number}") })).await;
            let done = answer.until("response.output_item.done").await;
            assert_eq!(done["item"]["content"][0]["text"], format!("m{number}"));
        });
    }
    all.join_all().await;
    assert_eq!(model.requests().len(), 64);
}

#[tokio::test]
async fn a_bearer_token_can_be_required() {
    let model = MockModel::start().await;
    model.require_bearer("secret");
    model.reply(Reply::text("welcome"));
    assert_eq!(ask(model.address(), &json!({})).await.status, 401);
    let bearer = |token: &'static str| [("authorization", token)];
    let path = "/v1/responses";
    let wrong = send(model.address(), "POST", path, &bearer("Bearer wrong"), "{}").await;
    assert_eq!(wrong.status, 401);
    let right = send(
        model.address(),
        "POST",
        path,
        &bearer("Bearer secret"),
        "{}",
    )
    .await;
    assert_eq!(right.status, 200);
    let bearers: Vec<_> = model
        .requests()
        .iter()
        .map(|request| request.bearer().map(str::to_owned))
        .collect();
    assert_eq!(
        bearers,
        [None, Some("wrong".to_owned()), Some("secret".to_owned())]
    );
    assert_eq!(model.unexpected(), [""; 0]);
}

#[tokio::test]
async fn the_other_routes_have_defaults_and_can_be_set() {
    let model = MockModel::start().await;
    let address = model.address();
    assert_eq!(
        get(address, "/v1/models?client_version=1")
            .await
            .json()
            .await,
        json!({ "models": [] })
    );
    let check = get(address, "/backend-api/wham/accounts/check")
        .await
        .json()
        .await;
    assert_eq!(check["default_account_id"], "org-1");
    model.account("org-2", "plus");
    let check = get(address, "/backend-api/wham/accounts/check")
        .await
        .json()
        .await;
    assert_eq!(
        (
            &check["accounts"][0]["id"],
            &check["accounts"][0]["plan_type"]
        ),
        (&json!("org-2"), &json!("plus"))
    );

    model.route("get", "/backend-api/wham/usage", 500, "out of order");
    let usage = get(address, "/backend-api/wham/usage").await;
    assert_eq!(
        (usage.status, usage.text().await.as_str()),
        (500, "out of order")
    );
    assert_eq!(
        model.route_calls("GET", "/backend-api/wham/accounts/check"),
        2
    );
    assert_eq!(
        model.route_calls("GET", "/backend-api/wham/settings/user"),
        0
    );
    assert_eq!(model.unexpected(), [""; 0]);

    assert_eq!(get(address, "/nowhere").await.status, 404);
    assert_eq!(model.unexpected(), ["no route for GET /nowhere"]);
}

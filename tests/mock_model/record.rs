//! The record of the requests of a model.

use cas_sdk::testing::{MockModel, ModelRequest, Reply};
use serde_json::json;

use crate::http::{ask, send};

#[tokio::test]
async fn a_request_tells_who_asks_and_what() {
    let model = MockModel::start().await;
    model.otherwise(Reply::new());
    let body = json!({
        "model": "mock-model",
        "input": [
            { "type": "message", "role": "developer", "content": [{ "type": "input_text", "text": "be good" }] },
            { "type": "message", "role": "user", "content": [
                { "type": "input_text", "text": "look" },
                { "type": "input_image", "image_url": "data:," },
                { "type": "input_text", "text": "here" },
            ] },
            { "type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c1", "output": "sunny" },
            { "type": "custom_tool_call_output", "call_id": "c2", "output": [{ "type": "input_text", "text": "x" }] },
        ],
        "tools": [{ "type": "function", "name": "weather" }, { "type": "web_search" }],
    });
    let headers = [
        ("Thread-Id", "thread-1"),
        ("authorization", "Bearer abc"),
        ("x-codex-turn-metadata", r#"{"turn_id":"turn-1"}"#),
    ];
    send(
        model.address(),
        "POST",
        "/v1/responses",
        &headers,
        &body.to_string(),
    )
    .await;
    let request = model.next_request().await;
    assert_eq!(request.model(), "mock-model");
    assert_eq!(request.thread_id(), Some("thread-1"));
    assert_eq!(request.turn_id().as_deref(), Some("turn-1"));
    assert_eq!(request.bearer(), Some("abc"));
    assert_eq!(request.header("THREAD-ID"), Some("thread-1"));
    assert_eq!(request.user_texts(), ["look", "here"]);
    assert_eq!(request.prompts(), ["look", "here"]);
    assert_eq!(request.developer_texts(), ["be good"]);
    assert_eq!(request.tool_output("c1").unwrap(), "sunny");
    assert_eq!(request.tool_output("c2").unwrap()[0]["text"], "x");
    assert_eq!(request.tool_output("c3"), None);
    assert_eq!(request.tools(), ["weather", "web_search"]);
    assert_eq!(request.body(), &body);
}

#[tokio::test]
async fn messages_of_codex_in_the_users_name_are_no_prompts() {
    let model = MockModel::start().await;
    let texts = [
        "<environment_context>\n  <cwd>/work</cwd>\n</environment_context>",
        "# AGENTS.md instructions for /work\n\n<INSTRUCTIONS>\nbe good\n</INSTRUCTIONS>",
        "look",
        "<turn_aborted>\nThe user interrupted\n</turn_aborted>",
        "<b>here</b> and there",
        "1 < 2 > 1",
        "<",
        "<>",
        "",
        "<environment_context>\n  <current_date>2026-11-23</current_date>\n</environment_context>\n",
    ];
    let messages = texts
        .map(|text| json!({ "role": "user", "content": [{ "type": "input_text", "text": text }] }));
    let body = json!({ "input": messages }).to_string();
    send(model.address(), "POST", "/v1/responses", &[], &body).await;
    let request = model.next_request().await;
    assert_eq!(request.user_texts(), texts);
    let prompts = ["look", "<b>here</b> and there", "1 < 2 > 1", "<", "<>", ""];
    assert_eq!(request.prompts(), prompts);
}

#[tokio::test]
async fn the_tools_of_code_mode_and_of_namespaces_are_found() {
    let model = MockModel::start().await;
    model.otherwise(Reply::new());
    let tools = json!([
        { "type": "namespace", "name": "functions", "tools": [{ "type": "custom", "name": "exec" }] },
        { "type": "namespace", "name": "mcp__tiny", "tools": [{ "name": "ask" }, { "name": "tell" }] },
    ]);
    let input = json!([{ "type": "additional_tools", "role": "developer", "tools": tools }]);
    ask(model.address(), &json!({ "input": input })).await;
    assert_eq!(
        model.next_request().await.tools(),
        ["exec", "mcp__tiny.ask", "mcp__tiny.tell"]
    );
}

#[tokio::test]
async fn a_body_of_many_megabytes_is_read() {
    let model = MockModel::start().await;
    model.otherwise(Reply::new());
    let text = "x".repeat(8 << 20);
    ask(model.address(), &json!({ "model": text })).await;
    assert_eq!(model.next_request().await.model().len(), text.len());
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_and_reported() {
    let model = MockModel::start().await;
    let answer = send(model.address(), "POST", "/v1/responses", &[], "{").await;
    assert_eq!(answer.status, 400);
    assert!(
        model.unexpected()[0].contains("not JSON"),
        "{:?}",
        model.unexpected()
    );
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn waiting_returns_when_the_requests_are_there() {
    let model = MockModel::start().await;
    model.otherwise(Reply::new());
    let address = model.address();
    let ((), requests) = tokio::join!(
        async {
            for name in ["a", "b"] {
                ask(address, &json!({ "model": name })).await;
            }
        },
        model.wait_for_requests(2),
    );
    let models: Vec<&str> = requests.iter().map(ModelRequest::model).collect();
    assert_eq!(models, ["a", "b"]);
    assert_eq!(model.next_request().await.model(), "a");
    assert_eq!(model.next_request().await.model(), "b");
    let body = json!({ "model": "c" });
    let (_, third) = tokio::join!(ask(address, &body), model.next_request());
    assert_eq!(third.model(), "c");
}

#[tokio::test]
#[should_panic(expected = "for 1 model requests: MockModel { requests: []")]
async fn a_wait_in_vain_ends_with_a_list_of_what_arrived() {
    let model = MockModel::start().await;
    // Nothing else runs, so time may jump to the deadline.
    tokio::time::pause();
    model.wait_for_requests(1).await;
}

#[tokio::test]
async fn a_record_is_bounded_in_bytes_and_keeps_the_newest() {
    let model = MockModel::start().await;
    model.otherwise(Reply::text("ok"));
    model.set_record_limit(10_000);
    // Like the requests of a long conversation, each contains all earlier ones.
    for n in 0..50 {
        let body = json!({ "model": n.to_string(), "input": "x".repeat(n * 100) });
        ask(model.address(), &body).await;
    }
    let kept = model.requests();
    let bytes: usize = kept.iter().map(|r| r.body().to_string().len()).sum();
    assert!((4_000..=10_000).contains(&bytes), "{bytes}");
    assert_eq!(kept.last().unwrap().model(), "49");
    assert_eq!(model.request_count(), 50);
    assert_eq!(model.wait_for_requests(50).await.len(), kept.len());
    assert_eq!(model.next_request().await.model(), kept[0].model());

    // A request that is larger than the limit is kept alone.
    let body = json!({ "model": "large", "input": "x".repeat(20_000) });
    ask(model.address(), &body).await;
    assert_eq!(model.requests().len(), 1);
    assert_eq!(model.next_request().await.model(), "large");
}

#[tokio::test]
async fn a_record_that_is_cleared_begins_anew() {
    let model = MockModel::start().await;
    model.otherwise(Reply::text("ok"));
    for name in ["a", "b"] {
        ask(model.address(), &json!({ "model": name })).await;
    }
    assert_eq!(model.next_request().await.model(), "a");
    model.clear_requests();
    assert!(model.requests().is_empty());
    assert_eq!(model.request_count(), 0);
    ask(model.address(), &json!({ "model": "c" })).await;
    assert_eq!(model.wait_for_requests(1).await[0].model(), "c");
    assert_eq!(model.next_request().await.model(), "c");
}

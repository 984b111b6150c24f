//! Replies on the wire.

use std::time::Duration;

use cas_sdk::testing::{Gate, MockModel, Reply, Usage};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::http::{Answer, End, ask};

/// Plays a reply and returns the events and the end of the stream.
async fn played(reply: Reply) -> (Vec<Value>, End) {
    let model = MockModel::start().await;
    model.reply(reply);
    let mut answer = ask(model.address(), &json!({})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    answer.events().await
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

/// The items that the events complete.
fn items(events: &[Value]) -> Vec<&Value> {
    let done = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done");
    done.map(|event| &event["item"]).collect()
}

#[tokio::test]
async fn text_is_streamed_word_by_word_and_completed() {
    let (events, end) = played(Reply::text("one two")).await;
    assert_eq!(end, End::Proper);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.output_item.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!(
        (&events[2]["delta"], &events[3]["delta"]),
        (&json!("one "), &json!("two"))
    );
    assert_eq!(events[1]["item"]["content"], json!([]));
    assert_eq!(
        events[4]["item"]["content"],
        json!([{ "type": "output_text", "text": "one two" }])
    );
    assert_eq!(events[1]["item"]["id"], events[4]["item"]["id"]);
    assert_eq!(events[0]["response"]["id"], events[5]["response"]["id"]);
    assert_eq!(events[5]["response"]["usage"]["total_tokens"], 15);
}

#[tokio::test]
async fn deltas_make_one_message_until_another_item_begins() {
    let reply = Reply::new()
        .delta("a")
        .pause(Duration::ZERO)
        .delta("b")
        .function_call("c", "f", json!({}))
        .delta("d");
    let (events, _) = played(reply).await;
    let items = items(&events);
    assert_eq!(items[0]["content"][0]["text"], "ab");
    assert_eq!(items[1]["name"], "f");
    assert_eq!(items[2]["content"][0]["text"], "d");
    let indexes = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done");
    assert_eq!(
        indexes
            .map(|event| event["output_index"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[tokio::test]
async fn calls_of_every_kind_are_items() {
    let reply = Reply::new()
        .function_call("c1", "weather", json!({ "city": "Paris" }))
        .namespaced_call("c2", "mcp__tiny", "ask", json!({}))
        .custom_tool_call("c3", "apply_patch", "*** Begin Patch")
        .function_call("c4", "weather", "{broken");
    let (events, _) = played(reply).await;
    let mut items: Vec<Value> = items(&events).into_iter().cloned().collect();
    for item in &mut items {
        assert!(item.as_object_mut().unwrap().remove("id").is_some());
    }
    assert_eq!(
        items,
        [
            json!({ "type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\":\"Paris\"}" }),
            json!({ "type": "function_call", "call_id": "c2", "namespace": "mcp__tiny", "name": "ask", "arguments": "{}" }),
            json!({ "type": "custom_tool_call", "call_id": "c3", "name": "apply_patch", "input": "*** Begin Patch" }),
            json!({ "type": "function_call", "call_id": "c4", "name": "weather", "arguments": "{broken" }),
        ]
    );
}

#[tokio::test]
async fn reasoning_phases_and_usage_are_streamed() {
    let usage = Usage {
        input_tokens: 7,
        cached_tokens: 3,
        output_tokens: 2,
        reasoning_tokens: 1,
    };
    let reply = Reply::new()
        .reasoning("hm, hm")
        .commentary("so")
        .final_answer("yes")
        .usage(usage);
    let (events, _) = played(reply).await;
    let summary: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.reasoning_summary_text.delta")
        .map(|event| &event["delta"])
        .collect();
    assert_eq!(summary, ["hm, ", "hm"]);
    let items = items(&events);
    assert_eq!(
        items[0]["summary"],
        json!([{ "type": "summary_text", "text": "hm, hm" }])
    );
    assert_eq!(
        (&items[1]["phase"], &items[2]["phase"]),
        (&json!("commentary"), &json!("final_answer"))
    );
    let usage = &events.last().unwrap()["response"]["usage"];
    assert_eq!(usage["input_tokens_details"]["cached_tokens"], 3);
    assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], 1);
    assert_eq!(usage["total_tokens"], 9);
}

#[tokio::test]
async fn no_id_is_given_twice() {
    let model = MockModel::start().await;
    model.otherwise(
        Reply::new()
            .reasoning("a")
            .message("b")
            .function_call("c", "f", json!({})),
    );
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (events, _) = ask(model.address(), &json!({})).await.events().await;
        ids.push(events[0]["response"]["id"].to_string());
        ids.extend(items(&events).iter().map(|item| item["id"].to_string()));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 12);
}

#[tokio::test]
async fn a_custom_event_is_sent_verbatim() {
    let event = json!({ "type": "response.strange", "x": [1, 2] });
    let (events, _) = played(Reply::new().event(event.clone())).await;
    assert_eq!(events[1], event);
}

#[tokio::test]
async fn a_failure_an_incompletion_and_an_early_end_are_no_completion() {
    let (events, end) = played(Reply::text("x").fail("server_error", "no")).await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(
        last["response"]["error"],
        json!({ "code": "server_error", "message": "no" })
    );
    assert_eq!(end, End::Proper);

    let (events, end) = played(Reply::text("x").incomplete("max_output_tokens")).await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(
        last["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(end, End::Proper);

    let (events, end) = played(Reply::text("x").end_early()).await;
    assert_eq!(events.last().unwrap()["type"], "response.output_item.done");
    assert_eq!(end, End::Proper);
}

#[tokio::test]
async fn a_dropped_connection_loses_nothing_that_was_sent_before() {
    let long = "word ".repeat(200);
    let (events, end) = played(Reply::text(long.clone()).drop_connection()).await;
    assert_eq!(end, End::Dropped);
    assert_eq!(items(&events)[0]["content"][0]["text"], *long);
}

#[tokio::test]
async fn a_hold_stops_the_stream_until_its_gate_is_open() {
    let model = MockModel::start().await;
    let gate = Gate::new();
    model.otherwise(Reply::new().delta("a").hold(&gate).delta("b"));
    let mut held: Vec<Answer> = Vec::new();
    for _ in 0..2 {
        let mut answer = ask(model.address(), &json!({})).await;
        assert_eq!(
            answer.until("response.output_text.delta").await["delta"],
            "a"
        );
        held.push(answer);
    }
    let nothing = timeout(Duration::from_millis(50), held[0].event()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    gate.open();
    for answer in &mut held {
        assert_eq!(
            answer.until("response.output_text.delta").await["delta"],
            "b"
        );
        answer.until("response.completed").await;
    }
    // An open gate stays open.
    ask(model.address(), &json!({}))
        .await
        .until("response.completed")
        .await;
}

#[tokio::test]
async fn a_pause_delays_what_follows() {
    let model = MockModel::start().await;
    model.reply(
        Reply::new()
            .delta("a")
            .pause(Duration::from_millis(80))
            .delta("b"),
    );
    let mut answer = ask(model.address(), &json!({})).await;
    answer.until("response.output_text.delta").await;
    let from = std::time::Instant::now();
    answer.until("response.output_text.delta").await;
    assert!(
        from.elapsed() >= Duration::from_millis(50),
        "{:?}",
        from.elapsed()
    );
}

#[tokio::test]
async fn dropping_the_model_ends_its_streams_and_its_server() {
    let model = MockModel::start().await;
    let address = model.address();
    model.otherwise(Reply::new().delta("a").hold(&Gate::new()));
    let mut answer = ask(address, &json!({})).await;
    answer.until("response.output_text.delta").await;
    drop(model);
    assert_eq!(answer.event().await, Err(End::Dropped));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_status_has_its_body_its_headers_and_its_delay() {
    let model = MockModel::start().await;
    let gate = Gate::new();
    model.reply(
        Reply::status(503, json!({ "error": { "code": "server_is_overloaded" } }))
            .header("retry-after", "7"),
    );
    model.reply(Reply::status(400, "what?"));
    model.reply(Reply::status(500, json!({})).hold(&gate));

    let answer = ask(model.address(), &json!({})).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.json().await["error"]["code"], "server_is_overloaded");

    let answer = ask(model.address(), &json!({})).await;
    assert_eq!(
        (answer.status, answer.text().await.as_str()),
        (400, "what?")
    );

    let address = model.address();
    let held = tokio::spawn(async move { ask(address, &json!({})).await });
    model.wait_for_requests(3).await;
    assert!(!held.is_finished());
    gate.open();
    assert_eq!(held.await.unwrap().status, 500);
}

#[tokio::test]
async fn rate_limits_are_headers_of_the_stream() {
    let model = MockModel::start().await;
    model.reply(
        Reply::text("x")
            .primary_window(12.5, 300, 2_000_000_000)
            .secondary_window(5.0, 10_080, 2_000_000_001),
    );
    let answer = ask(model.address(), &json!({})).await;
    assert_eq!(answer.header("x-codex-primary-used-percent"), Some("12.5"));
    assert_eq!(answer.header("x-codex-primary-window-minutes"), Some("300"));
    assert_eq!(
        answer.header("x-codex-primary-reset-at"),
        Some("2000000000")
    );
    assert_eq!(answer.header("x-codex-secondary-used-percent"), Some("5"));
}

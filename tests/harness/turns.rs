//! Successful turns: text, tools, holds, and the requests to the model.

use cas_sdk::testing::{CodexHome, Gate, MockModel, ModelRequest, Reply, Usage};
use serde_json::{Value, json};

use crate::{raw::Codex, scripted};

#[tokio::test]
async fn text_arrives_in_the_deltas_that_were_scripted() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    model.reply(Reply::text("It is a typo."));
    let thread = codex.start_thread(json!({})).await;
    let turn = codex.turn(&thread, "Why is the build red?").await;
    assert_eq!(turn["status"], "completed");
    assert_eq!(turn["items"][0]["text"], "It is a typo.");
    let deltas = codex.arrived("item/agentMessage/delta");
    let deltas: Vec<&Value> = deltas.iter().map(|params| &params["delta"]).collect();
    assert_eq!(deltas, ["It ", "is ", "a ", "typo."]);

    let request = model.next_request().await;
    assert_eq!(request.prompts().last(), Some(&"Why is the build red?"));
    assert_eq!(request.thread_id(), Some(&*thread));
    assert_eq!(request.turn_id().as_deref(), turn["id"].as_str());
    assert_eq!(request.model(), "mock-model");
    assert_eq!(request.bearer(), None);
    assert!(
        request.tools().contains(&"exec_command".to_owned()),
        "{:?}",
        request.tools()
    );
    assert_eq!(model.unexpected(), [""; 0]);
    codex.end().await;
}

#[tokio::test]
async fn reasoning_phases_and_token_counts_are_passed_on() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    let usage = Usage {
        input_tokens: 1000,
        cached_tokens: 800,
        output_tokens: 50,
        reasoning_tokens: 20,
    };
    model.reply(
        Reply::new()
            .reasoning("Let me think")
            .commentary("Looking.")
            .final_answer("Found.")
            .usage(usage),
    );
    let thread = codex.start_thread(json!({})).await;
    codex.turn(&thread, "hello").await;
    let deltas = codex.arrived("item/reasoning/summaryTextDelta");
    let deltas: String = deltas
        .iter()
        .filter_map(|params| params["delta"].as_str())
        .collect();
    assert_eq!(deltas, "Let me think");
    let items = codex.arrived("item/completed");
    let messages = items
        .iter()
        .map(|params| &params["item"])
        .filter(|item| item["type"] == "agentMessage");
    let messages: Vec<_> = messages
        .map(|item| (item["phase"].as_str(), item["text"].as_str()))
        .collect();
    assert_eq!(
        messages,
        [
            (Some("commentary"), Some("Looking.")),
            (Some("final_answer"), Some("Found."))
        ]
    );
    let last = codex.notification("thread/tokenUsage/updated").await["tokenUsage"]["last"].take();
    assert_eq!(last["inputTokens"], 1000);
    assert_eq!(last["cachedInputTokens"], 800);
    assert_eq!(last["reasoningOutputTokens"], 20);
    codex.end().await;
}

#[tokio::test]
async fn a_dynamic_tool_is_called_and_its_output_reaches_the_model() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    model.reply(Reply::new().function_call("call-1", "weather", json!({ "city": "Paris" })));
    model.reply(Reply::text("It is sunny."));
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let weather = json!({ "type": "function", "name": "weather", "description": "tells the weather", "inputSchema": schema });
    let thread = codex
        .start_thread(json!({ "dynamicTools": [weather] }))
        .await;
    codex.start_turn(&thread, "How is Paris?").await;

    let (id, call) = codex.server_request("item/tool/call").await;
    assert_eq!(call["tool"], "weather");
    assert_eq!(call["callId"], "call-1");
    assert_eq!(call["arguments"], json!({ "city": "Paris" }));
    let output = json!([{ "type": "inputText", "text": "sunny" }]);
    codex
        .answer(id, json!({ "contentItems": output, "success": true }))
        .await;
    assert_eq!(codex.end_of_turn().await["status"], "completed");

    let requests = model.wait_for_requests(2).await;
    assert!(requests[0].tools().contains(&"weather".to_owned()));
    assert_eq!(requests[0].tool_output("call-1"), None);
    assert_eq!(requests[1].tool_output("call-1").unwrap(), "sunny");
    codex.end().await;
}

#[tokio::test]
async fn a_held_turn_goes_on_when_the_gate_is_opened() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    let gate = Gate::new();
    model.reply(Reply::new().delta("I am still").hold(&gate).delta(" here"));
    let thread = codex.start_thread(json!({})).await;
    codex.start_turn(&thread, "hello").await;
    let delta = codex.notification("item/agentMessage/delta").await;
    assert_eq!(delta["delta"], "I am still");
    assert!(codex.arrived("turn/completed").is_empty());
    gate.open();
    assert_eq!(
        codex.end_of_turn().await["items"][0]["text"],
        "I am still here"
    );
    codex.end().await;
}

#[tokio::test]
async fn a_held_turn_can_be_steered_and_interrupted() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    let gate = Gate::new();
    model.reply(Reply::new().delta("One").hold(&gate));
    model.reply(Reply::new().delta("Two").hold(&Gate::new()));
    model.reply(Reply::text("never asked for"));
    let thread = codex.start_thread(json!({})).await;
    let turn = codex.start_turn(&thread, "hello").await;
    codex.notification("item/agentMessage/delta").await;
    let input = json!([{ "type": "text", "text": "be brief" }]);
    codex
        .request(
            "turn/steer",
            json!({ "threadId": thread, "expectedTurnId": turn, "input": input }),
        )
        .await;
    gate.open();
    codex.notification("item/agentMessage/delta").await;
    let steered = &model.wait_for_requests(2).await[1];
    assert_eq!(steered.prompts().last(), Some(&"be brief"));

    codex
        .request(
            "turn/interrupt",
            json!({ "threadId": thread, "turnId": turn }),
        )
        .await;
    assert_eq!(codex.end_of_turn().await["status"], "interrupted");
    assert_eq!(model.queued_replies(), 1);
    model.clear_replies();
    codex.end().await;
}

#[tokio::test]
async fn concurrent_threads_get_the_replies_of_a_function() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    model.respond_with(|request: &ModelRequest| {
        Reply::text(format!("You said {}", request.prompts().last().unwrap()))
    });
    let mut threads = Vec::new();
    for name in ["one", "two", "three"] {
        let thread = codex.start_thread(json!({})).await;
        codex.start_turn(&thread, name).await;
        threads.push((thread, format!("You said {name}")));
    }
    for _ in 0..3 {
        let completed = codex.notification("turn/completed").await;
        let (_, expected) = threads
            .iter()
            .find(|(id, _)| completed["threadId"] == **id)
            .unwrap();
        assert_eq!(completed["turn"]["items"][0]["text"], **expected);
    }
    codex.end().await;
}

#[tokio::test]
async fn a_patch_is_applied_in_the_work_directory() {
    let model = MockModel::start().await;
    let home = CodexHome::builder(&model)
        .model("gpt-5.5")
        .sandbox_mode("danger-full-access")
        .build()
        .unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    let patch = "*** Begin Patch\n*** Add File: a.txt\n+x\n*** End Patch\n";
    model.reply(Reply::new().custom_tool_call("call-1", "apply_patch", patch));
    model.reply(Reply::text("done"));
    let thread = codex.start_thread(json!({})).await;
    codex.turn(&thread, "add a file").await;
    assert_eq!(
        std::fs::read_to_string(home.work_dir().join("a.txt")).unwrap(),
        "x\n"
    );
    let requests = model.requests();
    assert!(
        requests[0].tools().contains(&"apply_patch".to_owned()),
        "{:?}",
        requests[0].tools()
    );
    assert!(
        requests[1]
            .tool_output("call-1")
            .unwrap()
            .to_string()
            .contains("a.txt")
    );
    codex.end().await;
}

#[tokio::test]
async fn a_code_mode_model_calls_tools_through_exec() {
    let model = MockModel::start().await;
    let home = CodexHome::builder(&model)
        .model("gpt-6.1-sol")
        .build()
        .unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    model.reply(Reply::new().custom_tool_call("call-1", "exec", "text(`${6 * 7}`)"));
    model.reply(Reply::text("done"));
    let thread = codex.start_thread(json!({})).await;
    assert_eq!(codex.turn(&thread, "compute").await["status"], "completed");
    let requests = model.requests();
    assert!(
        requests[0].tools().contains(&"exec".to_owned()),
        "{:?}",
        requests[0].tools()
    );
    let output = requests[1].tool_output("call-1").unwrap().to_string();
    assert!(output.contains("42"), "{output}");
    codex.end().await;
}

#[tokio::test]
async fn rate_limit_headers_become_a_notification() {
    let Some((model, _home, mut codex)) = scripted().await else {
        return;
    };
    model.reply(
        Reply::text("hi")
            .primary_window(42.0, 300, 2_000_000_000)
            .secondary_window(5.0, 10_080, 2_000_000_000),
    );
    let thread = codex.start_thread(json!({})).await;
    codex.turn(&thread, "hello").await;
    let limits = codex.notification("account/rateLimits/updated").await["rateLimits"].take();
    assert_eq!(
        limits["primary"],
        json!({ "usedPercent": 42, "windowDurationMins": 300, "resetsAt": 2_000_000_000 })
    );
    assert_eq!(limits["secondary"]["usedPercent"], 5);
    codex.end().await;
}

//! The effects of the options of `CodexHome` on codex.

use cas_sdk::testing::{CodexHome, MockModel, Reply};
use serde_json::json;

use crate::raw::Codex;

#[tokio::test]
async fn the_model_can_ask_the_user_outside_of_plan_mode() {
    let model = MockModel::start().await;
    let builder = CodexHome::builder(&model).feature("default_mode_request_user_input", true);
    let home = builder.build().unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    let options = json!([{ "label": "red", "description": "like fire" }, { "label": "blue", "description": "like the sea" }]);
    let question = json!({ "id": "colour", "header": "Colour", "question": "Which colour?", "options": options });
    model.reply(Reply::new().function_call(
        "call-1",
        "request_user_input",
        json!({ "questions": [question] }),
    ));
    model.reply(Reply::text("blue it is"));
    let thread = codex.start_thread(json!({})).await;
    codex.start_turn(&thread, "paint it").await;
    let (id, params) = codex.server_request("item/tool/requestUserInput").await;
    assert_eq!(params["questions"][0]["question"], "Which colour?");
    codex
        .answer(
            id,
            json!({ "answers": { "colour": { "answers": ["blue"] } } }),
        )
        .await;
    assert_eq!(codex.end_of_turn().await["status"], "completed");
    let output = model.requests()[1]
        .tool_output("call-1")
        .unwrap()
        .to_string();
    assert!(output.contains("blue"), "{output}");
    codex.end().await;
}

#[tokio::test]
async fn an_external_clock_is_the_clients() {
    let model = MockModel::start().await;
    let home = CodexHome::builder(&model).external_clock().build().unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    if !codex.asks_for_the_time() {
        let refused = codex.refused("thread/start", json!({})).await;
        assert!(
            refused.contains("no external current-time provider"),
            "{refused}"
        );
        codex.end().await;
        return;
    }
    model.reply(Reply::text("late"));
    let thread = codex.start_thread(json!({})).await;
    codex.start_turn(&thread, "what time is it?").await;
    // Codex asks several times in a turn.
    loop {
        let message = codex.next_of(&["currentTime/read", "turn/completed"]).await;
        if message["method"] == "turn/completed" {
            break;
        }
        assert_eq!(message["params"]["threadId"], *thread);
        let now = json!({ "currentTimeAt": 1_781_717_655 });
        codex.answer(message["id"].clone(), now).await;
    }
    let request = model.next_request().await;
    let reminder = "<current_time_reminder>It is 2026-06-17 17:34:15 UTC.";
    let told = request.developer_texts();
    assert!(
        told.iter().any(|text| text.starts_with(reminder)),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_mcp_server_is_started_and_its_tool_called() {
    /// The least of MCP that codex needs: one harmless tool, which takes no approval.
    const TINY: &str = r#"
        while read -r line; do
            id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
            case "$line" in
                *'"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"tiny","version":"1"}}' ;;
                *'"tools/list"'*) result='{"tools":[{"name":"ask","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}' ;;
                *'"tools/call"'*) result='{"content":[{"type":"text","text":"forty-two"}]}' ;;
                *) continue ;;
            esac
            printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
        done
    "#;
    let model = MockModel::start().await;
    let home = CodexHome::builder(&model)
        .mcp_server("tiny", "sh", ["-c", TINY])
        .build()
        .unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    model.reply(Reply::new().namespaced_call("call-1", "mcp__tiny", "ask", json!({})));
    model.reply(Reply::text("done"));
    let thread = codex.start_thread(json!({})).await;
    codex.turn(&thread, "ask it").await;
    let requests = model.requests();
    assert!(
        requests[0].tools().contains(&"mcp__tiny.ask".to_owned()),
        "{:?}",
        requests[0].tools()
    );
    let output = requests[1].tool_output("call-1").unwrap().to_string();
    assert!(output.contains("forty-two"), "{output}");
    codex.end().await;
}

#[tokio::test]
async fn a_command_that_needs_approval_asks_for_it() {
    let model = MockModel::start().await;
    let builder = CodexHome::builder(&model)
        .model("gpt-5.5")
        .approval_policy("on-request");
    let home = builder.build().unwrap();
    let Some(mut codex) = Codex::start(&home).await else {
        return;
    };
    let command = json!({
        "cmd": "touch here", "sandbox_permissions": "require_escalated", "justification": "May I write a file?",
    });
    model.reply(Reply::new().function_call("call-1", "exec_command", command));
    model.reply(Reply::text("done"));
    let thread = codex.start_thread(json!({})).await;
    codex.start_turn(&thread, "write a file").await;
    let (id, params) = codex
        .server_request("item/commandExecution/requestApproval")
        .await;
    assert_eq!(params["reason"], "May I write a file?");
    codex.answer(id, json!({ "decision": "accept" })).await;
    assert_eq!(codex.end_of_turn().await["status"], "completed");
    assert!(home.work_dir().join("here").exists());
    codex.end().await;
}

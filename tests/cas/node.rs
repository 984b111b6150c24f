//! The Node program in `examples/node`, run.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use cas_sdk::testing::{Gate, Reply};
use serde_json::{Value, json};

use crate::common::{codex_test, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_program_drives_a_turn_with_a_tool_call_and_a_steer() {
    codex_test(120, async |rig| {
    let Ok(node) = which::which("node") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "there is no node to run the example with"
        );
        eprintln!("skipped: there is no node to run the example with");
        return;
    };
    let steered = Gate::new();
    rig.model
        .reply(Reply::new().function_call("c", "weather", json!({"city": "Paris"})));
    rig.model.reply(Reply::new().delta("Well, ").hold(&steered));
    rig.model.reply(Reply::text("sunny"));
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/node/client.mjs");
    let mut command = Command::new(node);
    command
        .arg(program)
        .arg(env!("CARGO_BIN_EXE_cas"))
        .arg("--codex")
        .arg(rig.codex());
    command
        .env_clear()
        .envs(rig.home.env())
        .current_dir(rig.home.work_dir());
    within(60, async {
        let said = tokio::task::spawn_blocking(move || {
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            let mut said = Vec::new();
            for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if line.get("steered").is_some() {
                    steered.open();
                }
                said.push(line);
            }
            assert!(child.wait().unwrap().success(), "{said:?}");
            said
        })
        .await
        .unwrap();
        assert_eq!(said[1], json!({"call": "weather", "arguments": {"city": "Paris"}}));
        assert!(said[2]["steered"].is_string());
        assert_eq!(
            said[3],
            json!({"status": "completed", "text": "Well, sunny",
                "items": ["userMessage", "dynamicToolCall", "agentMessage", "userMessage", "agentMessage"]})
        );
        let requests = rig.model.requests();
        assert_eq!(requests[1].tool_output("c").unwrap(), "sunny in Paris");
        assert!(requests[2].user_texts().contains(&"In one word, please."));
    })
    .await;
}).await;
}

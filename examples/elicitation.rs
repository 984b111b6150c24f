//! An MCP server asks the user. `cargo run --example elicitation` (the real codex, a scripted
//! model, a tiny MCP server).

use cas_sdk::{
    CasClient,
    handlers::{Decision, ElicitationAnswer, ElicitationAsk, ElicitationRequest},
    protocol::ThreadStartParams,
    testing::{self, CodexHome, MockModel, Reply},
};
use serde_json::json;

const SERVER: &str = include_str!("../tests/handlers/tiny_mcp.sh");

#[tokio::main]
#[allow(dead_code, reason = "the test calls `run`")]
async fn main() -> anyhow::Result<()> {
    println!("the model was told: {:#?}", run().await?);
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let (codex, model) = (testing::codex().await?, MockModel::start().await);
    model.reply(Reply::new().namespaced_call("a", "mcp__tiny", "ask", json!({})));
    model.reply(Reply::new().namespaced_call("b", "mcp__tiny", "rw", json!({})));
    model.reply(Reply::text("done"));
    let home = CodexHome::builder(&model)
        .model("gpt-5.5")
        .approval_policy("on-request")
        .mcp_server("tiny", "sh", ["-c", SERVER])
        .build()?;

    let client = CasClient::builder()
        .codex(codex)
        .env_clear()
        .envs(home.env())
        .cwd(home.work_dir())
        .handlers(cas_sdk::Handlers::new().elicitation(
            |request: ElicitationRequest, _cx| async move {
                println!("{} asks: {:?}", request.server, request.ask);
                Ok(match request.ask {
                    ElicitationAsk::Form { .. } => {
                        ElicitationAnswer::accept(json!({"confirmed": true}))
                    }
                    ElicitationAsk::ToolCall(_) => Decision::AcceptForSession.into(),
                    _ => ElicitationAnswer::decline(),
                })
            },
        ))
        .spawn()
        .await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;
    thread.ask("Go.").await?.finish().await?;
    client.shutdown().await;
    let last = model.requests().pop().expect("the model was asked");
    Ok(["a", "b"]
        .map(|id| {
            last.tool_output(id)
                .map(ToString::to_string)
                .unwrap_or_default()
        })
        .to_vec())
}

//! Functions of this program that the model calls: `cargo run --example tool` (the real codex, a
//! scripted model).

use cas_sdk::{
    CasClient, Tool, ToolContext, ToolError,
    protocol::ThreadStartParams,
    testing::{self, CodexHome, MockModel, Reply},
};
use serde_json::json;

struct Divide;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Numbers {
    /// What is divided. The model reads this.
    dividend: f64,
    /// By what.
    divisor: f64,
}

impl Tool for Divide {
    const NAME: &'static str = "divide";
    const DESCRIPTION: &'static str = "Divides two numbers.";
    type Args = Numbers;
    type Output = String;

    async fn call(&self, n: Numbers, _cx: ToolContext) -> Result<String, ToolError> {
        if n.divisor == 0.0 {
            return Err(ToolError::new("nothing divides by zero")); // The model sees the error and goes on.
        }
        Ok((n.dividend / n.divisor).to_string())
    }
}

#[tokio::main]
#[allow(dead_code, reason = "the test calls `run`")]
async fn main() -> anyhow::Result<()> {
    println!("the model was told: {:?}", run().await?);
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let (codex, model) = (testing::codex().await?, MockModel::start().await);
    let call = |id, args| Reply::new().function_call(id, "divide", args);
    model.reply(call("a", json!({"dividend": 7, "divisor": 2})));
    model.reply(call("b", json!({"dividend": 7, "divisor": 0})));
    model.reply(call("c", json!({"dividend": "seven"})));
    model.reply(Reply::text("3.5"));
    let home = CodexHome::new(&model)?;
    let builder = CasClient::builder().codex(codex).cwd(home.work_dir());
    let builder = builder.env_clear().envs(home.env()).tool(Divide);

    let client = builder.spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;
    thread.ask("What is 7 / 2?").await?.finish().await?;
    client.shutdown().await;
    let last = model.requests().pop().expect("the model was asked");
    let told = ["a", "b", "c"].map(|id| last.tool_output(id).and_then(|o| o.as_str()));
    Ok(told.into_iter().flatten().map(str::to_owned).collect())
}

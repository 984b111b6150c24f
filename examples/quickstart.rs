//! A whole turn: streamed text, a typed tool, a steer, the outcome.
//!
//! `cargo run --example quickstart` runs the real codex against a scripted model on loopback: no
//! account, no internet but for fetching codex once. `cargo run --example quickstart -- --live "a
//! prompt"` runs your own logged-in codex.

use std::{error::Error, io::Write as _};

use cas_sdk::{
    CasClient, Thread, Tool, ToolContext, ToolError, Turn, TurnEvent,
    protocol::{ThreadItem, ThreadStartParams},
    testing::{self, CodexHome, Gate, MockModel, Reply},
};
use serde_json::json;

/// Tells the weather. The doc comments of the fields are what the model reads.
struct Weather;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct WeatherArgs {
    /// The city to look at.
    city: String,
}

impl Tool for Weather {
    const NAME: &'static str = "weather";
    const DESCRIPTION: &'static str = "Tells the weather of a city.";
    type Args = WeatherArgs;
    type Output = String;

    async fn call(&self, args: WeatherArgs, _cx: ToolContext) -> Result<String, ToolError> {
        println!("\n[tool] weather of {}", args.city);
        Ok(format!("It is sunny in {}, 21 degrees.", args.city))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => scripted().await,
        ["--live", prompt] => live(prompt).await,
        _ => Err("usage: quickstart [--live PROMPT]".into()),
    }
}

/// Runs against the scripted model, which speaks, calls the tool, and waits until it is steered.
async fn scripted() -> Result<(), Box<dyn Error>> {
    let codex = testing::codex().await?;
    let (model, steered) = (MockModel::start().await, Gate::new());
    model.reply(
        Reply::new()
            .commentary("Let me look at the sky.")
            .function_call("call-1", "weather", json!({"city": "Paris"})),
    );
    model.reply(
        Reply::new()
            .delta("It is sunny ")
            .delta("in Paris")
            .hold(&steered)
            .delta(", take a hat."),
    );
    model.reply(Reply::text("In one line: sunny, 21 degrees."));

    let home = CodexHome::new(&model)?;
    let client = CasClient::builder()
        .codex(codex)
        .env_clear()
        .envs(home.env())
        .cwd(home.work_dir())
        .tool(Weather)
        .spawn()
        .await?;
    println!(
        "codex {}",
        client.server().and_then(|s| s.version()).unwrap_or("?")
    );

    let thread = client.start_thread(ThreadStartParams::default()).await?;
    let turn = thread.ask("What is the weather in Paris?").await?;
    show(turn, Some(("In one line, please.", &steered))).await?;

    client.shutdown().await;
    Ok(())
}

/// Runs against your own codex and account.
async fn live(prompt: &str) -> Result<(), Box<dyn Error>> {
    let client = CasClient::builder().tool(Weather).spawn().await?;
    let thread: Thread = client.start_thread(ThreadStartParams::default()).await?;
    show(thread.ask(prompt).await?, None).await?;
    client.shutdown().await;
    Ok(())
}

/// Prints the events of a turn. Steers it once, after the tool's answer, if there is a text for
/// that.
async fn show(mut turn: Turn, mut steer: Option<(&str, &Gate)>) -> Result<(), Box<dyn Error>> {
    let mut tool_done = false;
    while let Some(event) = turn.next().await {
        match event? {
            TurnEvent::Text { delta, .. } => {
                print!("{delta}");
                std::io::stdout().flush()?;
                if let Some((text, gate)) = steer.take_if(|_| tool_done) {
                    turn.steer(text).await?;
                    println!("\n[steered] {text}");
                    gate.open();
                }
            }
            TurnEvent::ItemCompleted(item) => {
                tool_done |= matches!(*item, ThreadItem::DynamicToolCall(_));
            }
            TurnEvent::Completed(outcome) => {
                println!(
                    "\n[{}] {} steps; the answer: {}",
                    outcome.status,
                    outcome.items.len(),
                    outcome.text
                );
                outcome.into_result()?;
            }
            _ => {}
        }
    }
    Ok(())
}

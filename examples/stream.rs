//! The events of a turn: `cargo run --example stream -- "List the files here."`

use std::io::Write as _;

use cas_sdk::{
    CasClient, TurnEvent,
    protocol::{ThreadItem, ThreadStartParams},
    terminal::{escape, escape_line},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prompt = std::env::args().nth(1).ok_or("usage: stream PROMPT")?;
    let client = CasClient::builder().spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let mut turn = thread.ask(prompt).await?;
    while let Some(event) = turn.next().await {
        match event? {
            TurnEvent::Text { delta, .. } => {
                print!("{}", escape(&delta));
                std::io::stdout().flush()?;
            }
            TurnEvent::ItemCompleted(item) => match *item {
                ThreadItem::CommandExecution(command) => {
                    let line = escape_line(&command.command);
                    println!("\n[{:?}] {line}", command.exit_code);
                }
                ThreadItem::AgentMessage(_) => println!(),
                _ => {}
            },
            TurnEvent::Retrying(failure) => {
                eprintln!("\n{}; trying again", escape(&failure.to_string()));
            }
            TurnEvent::Completed(outcome) => {
                let tokens = outcome.usage_with_agents.map_or(0, |used| used.total);
                println!("[{}] {tokens} tokens", outcome.status);
                outcome.into_result()?;
            }
            _ => {}
        }
    }

    client.shutdown().await;
    Ok(())
}

//! The shortest way to an answer: `cargo run --example ask -- "Why is the sky blue?"`

use cas_sdk::{CasClient, protocol::ThreadStartParams, terminal::escape};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prompt = std::env::args().nth(1).ok_or("usage: ask PROMPT")?;
    let client = CasClient::builder().spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let outcome = thread.ask(prompt).await?.finish().await?;
    println!("{}", escape(&outcome.text));

    client.shutdown().await;
    Ok(())
}

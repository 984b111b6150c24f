//! Serves a session that the user can join from a terminal while this program works in it.
//!
//! `cargo run --example serve --features ws -- unix:///tmp/agent/codex.sock "a prompt"`

use std::error::Error;

use cas_sdk::{CasClient, protocol::ThreadStartParams};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, prompts @ ..] = &args[..] else {
        return Err("usage: serve unix://PATH PROMPT…".into());
    };
    // Others may join, but this program owns the server: it ends with the client.
    let client = CasClient::builder().serve(address).await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;
    for prompt in prompts {
        let outcome = thread.ask(prompt).await?.finish().await?;
        println!("{}", outcome.text);
        // Others can join a thread once it has had a turn.
        println!("join with: codex resume {} --remote {address}", thread.id());
    }
    client.shutdown().await;
    Ok(())
}

//! Changing one's mind in the middle of a turn:
//! `cargo run --example steer -- "Write a long poem about rust." "Make it a haiku instead."`
//!
//! A turn that takes longer than a minute is steered to its end.

use std::time::Duration;

use cas_sdk::{CasClient, TurnEvent, protocol::ThreadStartParams, turn::Deadline};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(prompt), Some(change)) = (args.next(), args.next()) else {
        return Err("usage: steer PROMPT CHANGE".into());
    };
    let client = CasClient::builder().spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let mut turn = thread.ask(prompt).await?;
    while let Some(event) = turn.next().await {
        if let TurnEvent::Text { delta, .. } = event? {
            println!("it begins with {delta:?}; steering");
            turn.steer(change).await?;
            break;
        }
    }
    let deadline = Deadline::after(Duration::from_secs(60)).steer("Time is up, come to an end.");
    turn.set_deadline(deadline);
    println!("{}", turn.finish().await?.text);

    client.shutdown().await;
    Ok(())
}

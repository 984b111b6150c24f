//! Watches a thread of a server that somebody else runs, also over its restarts: what happens, what
//! was missed, and when the connection was lost and made again.
//!
//! `cargo run --example watch --features ws ADDRESS THREAD`; the address is `unix://`,
//! `unix://PATH`, `ws://HOST:PORT` or `wss://HOST`.

use std::error::Error;

use cas_sdk::{
    CasClient,
    supervisor::{Recovered, Restart, ThreadEvent},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(id)) = (args.next(), args.next()) else {
        return Err("usage: watch ADDRESS THREAD".into());
    };
    let supervisor = CasClient::builder()
        .supervise_connection(address, Restart::default())
        .await?;
    let client = supervisor.client().await?;
    supervisor.keep(&client.resume_thread(id.as_str()).await?);
    let mut events = supervisor.thread_events(&id).await?;
    println!("watching {id}");
    while let Some(event) = events.next().await {
        match event {
            Ok(ThreadEvent::Live { event, .. }) => match event.item_type() {
                Some(item) => println!("{} {item}", event.method()),
                None => println!("{}", event.method()),
            },
            Ok(ThreadEvent::Lost { error }) => println!("lost: {error}"),
            Ok(ThreadEvent::Recovered(Recovered::Item(entry))) => {
                println!("missed an item of turn {}", entry.turn_id);
            }
            Ok(ThreadEvent::Recovered(Recovered::Turn(turn))) => {
                println!("missed the end of turn {}: {}", turn.id, turn.status);
            }
            Ok(ThreadEvent::Reconnected { gap, .. }) => {
                println!("back; missed {} items", gap.items);
            }
            Ok(_) => {}
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

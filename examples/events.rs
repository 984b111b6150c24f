//! Filtered events: `cargo run --example events -- "Say hello." "Say goodbye."` runs one thread per
//! prompt.

use cas_sdk::{
    CasClient, Filter,
    protocol::{ItemCompletedNotification, ThreadStartParams},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = CasClient::builder().spawn().await?;

    // By type: nothing else is queued, and it is decoded where it is read.
    let mut items = client.notifications::<ItemCompletedNotification>();
    let watcher = tokio::spawn(async move {
        let mut completed = 0;
        while let Some(item) = items.next().await {
            // An item that does not decode is an error with its line, and the stream goes on.
            completed += usize::from(item.is_ok());
        }
        completed
    });

    let mut turns = tokio::task::JoinSet::new();
    for (n, prompt) in std::env::args().skip(1).enumerate() {
        let thread = client.start_thread(ThreadStartParams::default()).await?;
        // By thread and method, subscribed before the turn starts: nothing of it is missed.
        let mut events = client.events(Filter::all().thread(thread.id()).method("turn/*"));
        turns.spawn(async move {
            thread.ask(prompt).await?.finish().await?;
            while let Some(event) = events.next().await {
                // `Lagged` is in the place of events that a slow reader lost, with their number.
                let event = event?;
                println!("thread {n}: {}", event.method());
                if event.method() == "turn/completed" {
                    break;
                }
            }
            Ok::<_, cas_sdk::Error>(())
        });
    }
    while let Some(done) = turns.join_next().await {
        done??;
    }

    client.shutdown().await;
    println!("{} items", watcher.await?);
    Ok(())
}

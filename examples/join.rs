//! Joins a thread of a running server and shows what happens there, until the server ends. It only
//! observes: `cargo run --example join --features ws -- THREAD [ADDRESS]`.

use cas_sdk::{
    CasClient, Error,
    handlers::{PendingRequestChange as Change, PendingRequestChanges},
    live::JoinedThread,
    protocol::ServerNotification as Notification,
    terminal::escape,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let thread = args.next().unwrap_or_default();
    let address = args.next().unwrap_or_else(|| "unix://".to_owned());
    let client = CasClient::builder().connect_to(address.as_str()).await?;
    let joined = client.join(thread).await?;
    for turn in joined.turns() {
        println!(
            "turn {}: {:?}, {} items",
            turn.id,
            turn.status,
            turn.items.len()
        );
    }
    tokio::spawn(show_requests(client.pending_request_changes()));
    show_events(joined).await
}

async fn show_events(mut joined: JoinedThread) -> Result<(), Error> {
    while let Some(update) = joined.next().await {
        let update = match update {
            Err(Error::Closed(_)) => break,
            update => update?,
        };
        match update.event.notification()? {
            Notification::TurnStarted(started) => println!("turn {} begins", started.turn.id),
            Notification::ItemAgentMessageDelta(piece) => {
                let missing = if update.is_partial { "…" } else { "" };
                print!("{missing}{}", escape(&piece.delta));
            }
            Notification::TurnCompleted(ended) => println!("\n{:?}", ended.turn.status),
            _ => {}
        }
    }
    Ok(())
}

async fn show_requests(mut changes: PendingRequestChanges) {
    while let Some(change) = changes.next().await {
        match change {
            Change::Added(request) => println!("\n{} waits for an answer", request.method),
            Change::Settled(request) => println!("{}: {:?}", request.method, request.settled()),
            _ => {}
        }
    }
}

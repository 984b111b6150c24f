//! Has the uncommitted changes of a repository reviewed: `cargo run --example review -- /path/to/repo`

use cas_sdk::{
    CasClient, TurnEvent,
    protocol::{ReviewTarget, ThreadStartParams},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let repo = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let client = CasClient::builder().cwd(repo).spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let mut review = thread.review(ReviewTarget::UncommittedChanges).await?;
    while let Some(event) = review.next().await {
        match event? {
            TurnEvent::Reasoning { delta: thought, .. } => eprint!("{thought}"),
            TurnEvent::Completed(outcome) => println!("{}", outcome.into_result()?.text),
            _ => {}
        }
    }

    client.shutdown().await;
    Ok(())
}

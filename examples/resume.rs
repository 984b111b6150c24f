//! Goes on with the latest thread of this directory, wherever it is: stored, archived, or in the
//! hands of another process, in which case it is a copy. `cargo run --example resume -- "Where were
//! we?"`

use cas_sdk::{
    CasClient,
    protocol::{ThreadListParams, ThreadStartParams},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prompt = std::env::args().nth(1).ok_or("usage: resume PROMPT")?;
    let client = CasClient::builder().spawn().await?;

    let here = std::env::current_dir()?.display().to_string();
    let mut threads = client.pages(ThreadListParams::default().cwd(here).limit(1));
    let thread = match threads.next().await.transpose()? {
        Some(latest) => {
            client
                .resume_thread(latest.id)
                .or_fork()
                .or_unarchive()
                .or_start(ThreadStartParams::default())
                .await?
        }
        None => client.start_thread(ThreadStartParams::default()).await?,
    };
    println!("{} ({:?})", thread.id(), thread.opened_by());
    println!("{}", thread.ask(prompt).await?.finish().await?.text);

    client.shutdown().await;
    Ok(())
}

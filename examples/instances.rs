//! Several app-servers at once, each with its own home: `cargo run --example instances -- 4`
//!
//! Threads of one app-server run side by side too; another process is for another account,
//! configuration or sandbox.

use cas_sdk::{CasClient, protocol::ThreadListParams};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(4), |n| n.parse())?;
    let homes = std::env::temp_dir().join(format!("codex-homes-{}", std::process::id()));

    // A start takes a good part of a second of CPU time, so only some run at once.
    let clients: Vec<CasClient> = stream::iter(0..count)
        .map(|n| {
            let home = homes.join(n.to_string());
            async move {
                std::fs::create_dir_all(&home)?;
                let builder = CasClient::builder().env("CODEX_HOME", home);
                Ok::<_, Box<dyn std::error::Error>>(builder.spawn().await?)
            }
        })
        .buffer_unordered(2)
        .try_collect()
        .await?;

    let asked = clients.iter().map(|client| async move {
        let threads = client.request(ThreadListParams::default().limit(1)).await?;
        Ok::<_, cas_sdk::Error>(threads.data.len())
    });
    let threads = futures_util::future::try_join_all(asked).await?;
    println!("{} instances answered: {threads:?} threads", clients.len());

    futures_util::future::join_all(clients.iter().map(CasClient::shutdown)).await;
    std::fs::remove_dir_all(homes)?;
    Ok(())
}

//! Lists running servers that can be joined, their loaded threads, and sessions without a socket.
//!
//! `cargo run --example live --features ws [ADDRESS…]`; an address is `unix://PATH`,
//! `ws://HOST:PORT` or `wss://HOST`.

use std::error::Error;

use cas_sdk::{
    Live,
    live::{LiveStatus, ThreadRole},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut discover = Live::discover();
    for address in std::env::args().skip(1) {
        discover = discover.endpoint(address.parse()?);
    }
    let live = discover.await;
    for server in &live.servers {
        let version = server.version.as_deref().unwrap_or("of unknown version");
        println!(
            "codex {version} at {} ({:?})",
            server.endpoint, server.owner
        );
        for thread in &server.threads {
            let does = match &thread.status {
                _ if thread.waits_for_approval => "waits for an approval",
                _ if thread.waits_for_input => "waits for an answer",
                LiveStatus::Active => "runs",
                _ => "rests",
            };
            let role = match &thread.role {
                ThreadRole::SubAgent { .. } => "sub-agent ",
                ThreadRole::Helper => "helper ",
                _ => "",
            };
            println!("  {role}{} {does}: {}", thread.id, thread.title());
        }
    }
    for thread in &live.held {
        let title = thread.title.as_deref().unwrap_or("?");
        println!(
            "{:?} {} without a socket: {} {title}",
            thread.holder, thread.pid, thread.id
        );
    }
    for place in &live.unreachable {
        println!("{}", place.error);
    }
    Ok(())
}

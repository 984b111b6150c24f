//! Has a repository reviewed: `cargo run --example review -- /path/to/repo [BASE_BRANCH]`
//!
//! Without a branch it is the uncommitted changes. Exits with 1 if the reviewer says that they are not right.

use std::process::ExitCode;

use cas_sdk::{
    CasClient,
    protocol::{ReviewTarget, ThreadStartParams},
    turn::Verdict,
};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let repo = args.next().unwrap_or_else(|| ".".to_owned());
    let target = args
        .next()
        .map_or_else(ReviewTarget::uncommitted, ReviewTarget::base_branch);
    let client = CasClient::builder().cwd(repo).spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let outcome = thread.review(target).await?.finish().await?;
    let is_right = outcome.verdict.is_correct();
    println!("reviewed: {:?}", outcome.reviewed);
    match outcome.verdict {
        Verdict::Typed(found) => {
            println!("{:?}: {}", found.correctness, found.explanation);
            for finding in found.findings {
                let place = finding.location.map(|location| location.to_string());
                println!(
                    "- {} ({})\n  {}",
                    finding.title,
                    place.unwrap_or_default(),
                    finding.body
                );
            }
        }
        Verdict::Raw { text, reason } => println!("{text}\n({reason})"),
        _ => {}
    }

    client.shutdown().await;
    Ok(if is_right == Some(false) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

//! Completions that only codex knows: the ids of threads.

use std::time::Duration;

use clap_complete::{ArgValueCandidates, CompletionCandidate};
use tokio::time::timeout;

use crate::{
    output::{Failure, cell},
    server::{builder, every_thread, list, parsed, short, title},
};

/// How long a person waits for a completion.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many threads are offered.
const OFFERED: usize = 50;

/// The stored threads, last updated first.
pub(crate) fn threads() -> ArgValueCandidates {
    ArgValueCandidates::new(candidates)
}

fn candidates() -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let work = async {
        let client = builder().spawn().await.map_err(Failure::from)?;
        let threads = list(&client, "thread/list", every_thread(false), OFFERED).await;
        client.shutdown().await;
        threads
    };
    // A shell has no place to show an error.
    let threads = runtime
        .block_on(async { timeout(PATIENCE, work).await })
        .ok()
        .and_then(Result::ok);
    let threads = threads.unwrap_or_default();
    let threads = threads.iter().map(|thread| parsed(thread)).map(|thread| {
        let id = thread["id"].as_str().unwrap_or_default();
        CompletionCandidate::new(short(id).to_owned()).help(Some(cell(title(&thread), 60).into()))
    });
    threads.collect()
}

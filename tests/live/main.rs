//! Clients that share a server: who answers its requests, and how a client joins a running thread.

#![cfg(unix)]
#![allow(
    clippy::large_futures,
    reason = "a test has several clients with their threads"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../transport/listener.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod listener;
#[path = "../common/terminal.rs"]
mod terminal;

mod agents;
mod answering;
mod join;
mod roles;
mod silence;
mod tui;

use cas_sdk::{
    CasClient, Thread, TurnOutcome,
    client::Role,
    handlers::{ApprovalRequest, Decision, HandlerError, PendingRequest},
    protocol::ThreadStartParams,
    testing::Reply,
};

use crate::{
    common::{
        Rig, eventually,
        scenes::{asks_for_approval as asking, escalated},
    },
    listener::{Listener, builder},
};

async fn connect(rig: &Rig, listener: &Listener, role: Role) -> CasClient {
    let builder = builder(rig).role(role);
    builder.connect_to(&listener.address).await.unwrap()
}

/// A client whose approval handler never answers, as a person who is away, and its thread after a
/// first turn.
async fn session(rig: &Rig, listener: &Listener) -> (CasClient, Thread) {
    let away = |_: ApprovalRequest, _| std::future::pending::<Result<Decision, HandlerError>>();
    let owner = builder(rig).approvals(away);
    let owner = owner.connect_to(&listener.address).await.unwrap();
    let thread = started(rig, &owner).await;
    (owner, thread)
}

/// A thread after a first turn, so that it can be joined.
async fn started(rig: &Rig, client: &CasClient) -> Thread {
    let params = ThreadStartParams::default();
    let thread = client.start_thread(params).await.unwrap();
    rig.model.reply(Reply::text("hello"));
    finished(&thread).await;
    thread
}

async fn finished(thread: &Thread) -> TurnOutcome {
    thread.ask("go").await.unwrap().finish().await.unwrap()
}

/// The only request that waits, as this client sees it.
async fn waiting(client: &CasClient) -> PendingRequest {
    eventually("a request waits", || client.pending_requests().len() == 1).await;
    client.pending_requests().remove(0)
}

/// What the model was told of a call in its latest request.
fn told(rig: &Rig, call: &str) -> String {
    let requests = rig.model.requests();
    let output = requests.last().unwrap().tool_output(call);
    output.unwrap().to_string()
}

fn made(rig: &Rig, file: &str) -> bool {
    rig.home.work_dir().join(file).exists()
}

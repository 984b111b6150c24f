//! A request is answered with its own response, and no other.

use cas_sdk::{CasClient, protocol::{ThreadStartParams, TurnStartResponse}};

async fn start(client: &CasClient) -> TurnStartResponse {
    client.request(ThreadStartParams::default()).await.unwrap()
}

fn main() {}

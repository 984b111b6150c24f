//! Only the params of a known method can be sent as a request.

use cas_sdk::{CasClient, protocol::TurnStartedNotification};

async fn send(client: &CasClient, turn: TurnStartedNotification) {
    let _ = client.request(turn).await;
}

fn main() {}

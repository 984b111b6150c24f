//! What the server requires, the constructor requires.

use cas_sdk::protocol::TurnStartParams;

fn main() {
    let _ = TurnStartParams::new("thr_1");
}

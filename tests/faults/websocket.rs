//! All of this again, with the frames of a WebSocket in between.

#[path = "../common/websocket.rs"]
mod common;

#[test]
fn all_of_this_holds_over_a_websocket() {
    common::again(&["all_of_this_holds_over_a_websocket"]);
}

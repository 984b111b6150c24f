//! All of this again, with the frames of a WebSocket in between.

#[path = "../common/websocket.rs"]
mod common;

#[test]
fn the_same_tests_pass_over_a_websocket() {
    common::again(&["the_same_tests_pass_over_a_websocket"]);
}

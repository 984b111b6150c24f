//! The same tests through WebSocket frames.

#[path = "../common/websocket.rs"]
mod common;

#[test]
fn the_same_tests_pass_over_a_websocket() {
    common::again(&[
        "the_same_tests_pass_over_a_websocket",
        // Only a pipe can end in the middle of a line; a WebSocket message has a length.
        "an_answer_is_an_answer_without_its_newline_but_not_without_its_end",
        "the_last_line_before_the_end_counts_with_or_without_its_newline",
    ]);
}

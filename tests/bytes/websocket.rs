//! All of this again, with the frames of a WebSocket in between.

#[path = "../common/websocket.rs"]
mod common;

#[test]
fn all_of_this_holds_over_a_websocket() {
    common::again(&[
        "all_of_this_holds_over_a_websocket",
        // A line may lack its newline at the end of the input; a message says itself where it ends.
        "an_answer_is_an_answer_without_its_newline_but_not_without_its_end",
        "what_was_said_before_the_end_counts_with_or_without_its_newline",
    ]);
}

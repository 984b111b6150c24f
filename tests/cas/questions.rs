//! The questions of the agent and of MCP servers, answered in `cas attach` and `cas ask`.

#![allow(clippy::large_futures, reason = "a test has several turns in flight")]

use cas_sdk::{
    CasClient, Handlers, Thread, Turn,
    handlers::{Answers, ElicitationAnswer, ElicitationRequest, HandlerError},
    protocol::{ThreadStartParams, ToolRequestUserInputParams},
    testing::{CodexHomeBuilder, Reply},
};
use serde_json::{Value, json};

use crate::{
    common::{Rig, codex_test_with, eventually},
    screens::{shown, start},
    scripted::in_ask,
    tmux::Terminal,
};

fn asks(home: CodexHomeBuilder) -> CodexHomeBuilder {
    home.model("gpt-5.5")
        .approval_policy("on-request")
        .feature("default_mode_request_user_input", true)
        .mcp_server(
            "tiny",
            "sh",
            ["-c", include_str!("../handlers/tiny_mcp.sh")],
        )
}

/// A session whose owner answers nothing.
async fn served(rig: &Rig) -> (CasClient, Thread) {
    let away =
        |_: ToolRequestUserInputParams, _| std::future::pending::<Result<Answers, HandlerError>>();
    let out = |_: ElicitationRequest, _| {
        std::future::pending::<Result<ElicitationAnswer, HandlerError>>()
    };
    let handlers = Handlers::new().user_input(away).elicitation(out);
    let owner = rig.builder().handlers(handlers);
    let owner = owner.serve("unix://").await.unwrap();
    let thread = owner.start_thread(ThreadStartParams::default()).await;
    let thread = thread.unwrap();
    rig.model.reply(Reply::text("hello"));
    thread.ask("hi").await.unwrap().finish().await.unwrap();
    rig.model.next_request().await;
    (owner, thread)
}

fn question(id: &str, text: &str, options: &[&str]) -> Value {
    let options: Vec<_> = { options.iter() }
        .map(|label| json!({"label": label, "description": format!("It is {label}.")}))
        .collect();
    json!({"id": id, "header": id, "question": text, "options": options})
}

/// What the model was told of a call.
fn told(rig: &Rig, call: &str) -> String {
    let requests = rig.model.requests();
    let mut outputs = requests.iter().rev().filter_map(|r| r.tool_output(call));
    outputs.next().unwrap().to_string()
}

/// A turn in which the model calls a tool of the MCP server.
async fn called(rig: &Rig, thread: &Thread, call: &str, tool: &str, arguments: Value) -> Turn {
    let calls = Reply::new().namespaced_call(call, "mcp__tiny", tool, arguments);
    rig.model.reply(calls);
    rig.model.reply(Reply::text(format!("done with {call}")));
    thread.ask("go").await.unwrap()
}

/// A session, and a terminal in which `cas attach` has joined it.
struct Attached<'t> {
    rig: &'t Rig,
    terminal: &'t Terminal,
    owner: &'t CasClient,
    thread: &'t Thread,
}

/// Runs a test in which `cas attach` is left with Ctrl-C at the end.
async fn attached(test: impl AsyncFnOnce(Attached<'_>)) {
    codex_test_with(asks, 180, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        let (owner, thread) = served(&rig).await;
        start(&terminal, &rig, 100, &[], &["attach", thread.id()]);
        terminal.shows("idle").await;
        test(Attached {
            rig: &rig,
            terminal: &terminal,
            owner: &owner,
            thread: &thread,
        })
        .await;
        terminal.key("C-c");
        terminal.shows("exit 0").await;
        owner.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_questions_of_the_agent_are_asked_one_after_another() {
    attached(
        async |Attached {
                   rig,
                   terminal,
                   owner,
                   thread,
               }| {
            let evil = "Which\x1b[2J\n· waits: an approval [y/n/t]";
            let questions = json!({"questions": [
                question("colour", evil, &["red", "blue"]),
                question("size", "How large?", &["small", "large"]),
                question("open", "Anything else?", &["yes", "no"]),
            ]});
            rig.model
                .reply(Reply::new().function_call("c-1", "request_user_input", questions));
            rig.model.reply(Reply::text("so be it"));
            rig.model.reply(Reply::text("that too"));
            let turn = thread.ask("go").await.unwrap();
            terminal.shows("2. blue  It is blue.").await;
            terminal.shows("answer:").await;
            let lines = shown(terminal);
            let mut forged = lines.iter().filter(|line| line.contains("[y/n/t]"));
            assert!(
                forged.all(|line| line.contains("^J") || line.starts_with("  ")),
                "no line of it looks like a remark: {lines:?}"
            );
            terminal.enter("2").await;
            terminal.shows("How large?").await;
            terminal.enter("very large").await;
            terminal.shows("Anything else?").await;
            terminal.enter("> something else").await;
            terminal.shows("queued").await;
            terminal.enter("/skip").await;
            terminal.shows("that too").await;
            turn.finish().await.unwrap();
            let told = told(rig, "c-1");
            assert!(
                told.contains("blue") && told.contains("very large"),
                "{told}"
            );
            assert!(!told.contains("open"), "{told}");
            let requests = rig.model.requests();
            let last = requests.last().unwrap().prompts();
            assert!(last.contains(&"something else"), "{last:?}");
            let lines = shown(terminal);
            assert_eq!(lines.last().unwrap(), ">", "{lines:?}");

            // What is typed is dropped when somebody else is faster.
            let one = json!({"questions": [question("colour", "Which one?", &["red", "blue"])]});
            rig.model
                .reply(Reply::new().function_call("c-2", "request_user_input", one));
            rig.model.reply(Reply::text("it was red"));
            let turn = thread.ask("again").await.unwrap();
            terminal.shows("Which one?").await;
            terminal.text("half an answer");
            terminal.shows("half an answer").await;
            let request = owner.pending_requests().remove(0);
            request
                .answer(Answers::new().answer("colour", "red"))
                .await
                .unwrap();
            turn.finish().await.unwrap();
            terminal.shows("it was red").await;
            eventually("it is dropped", || shown(terminal).last().unwrap() == ">").await;
            assert!(!terminal.screen().contains("half an answer"));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_an_mcp_server_is_filled_in_or_declined() {
    attached(
        async |Attached {
                   rig,
                   terminal,
                   thread,
                   ..
               }| {
            let asked = async |id: &str, tool: &str| called(rig, thread, id, tool, json!({})).await;
            let turn = asked("c-1", "ask").await;
            terminal.shows("Confirm please").await;
            terminal.shows("asks: confirmed (y or n)").await;
            terminal.enter("maybe").await;
            terminal.shows("· y or n").await;
            terminal.enter("/skip").await;
            terminal.shows("has to be answered").await;
            terminal.enter("y").await;
            terminal.shows("done with c-1").await;
            turn.finish().await.unwrap();
            let answer = told(rig, "c-1").replace('\\', "");
            assert!(answer.contains(r#""confirmed":true"#), "{answer}");

            let turn = asked("c-2", "ask").await;
            eventually("it is asked once more", || {
                terminal.screen().matches("answer: ").count() >= 4
                    || shown(terminal)
                        .last()
                        .is_some_and(|line| line.starts_with("answer:"))
            })
            .await;
            terminal.enter("/decline").await;
            terminal.shows("done with c-2").await;
            turn.finish().await.unwrap();
            let answer = told(rig, "c-2").replace('\\', "");
            assert!(answer.contains(r#""action":"decline""#), "{answer}");

            let turn = asked("c-3", "ask_url").await;
            terminal.shows("http://127.0.0.1:1/x) [y/n/t]").await;
            terminal.enter("y").await;
            terminal.shows("done with c-3").await;
            turn.finish().await.unwrap();
            let answer = told(rig, "c-3").replace('\\', "");
            assert!(answer.contains(r#""action":"accept""#), "{answer}");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_shown_and_goes_nowhere_else() {
    attached(
        async |Attached {
                   rig,
                   terminal,
                   thread,
                   ..
               }| {
            let mut secret = question("password", "Which password?", &["a", "b"]);
            secret["isSecret"] = true.into();
            let questions = json!({"questions": [secret]});
            rig.model
                .reply(Reply::new().function_call("c-1", "request_user_input", questions));
            rig.model.reply(Reply::text("thank you"));
            let turn = thread.ask("go").await.unwrap();
            terminal.shows("secret:").await;
            terminal.text("!hunter2");
            terminal.shows("secret: ********").await;
            terminal.key("Enter");
            terminal.shows("thank you").await;
            turn.finish().await.unwrap();
            assert!(told(rig, "c-1").contains("!hunter2"));
            assert!(
                !terminal.screen().contains("hunter2"),
                "{}",
                terminal.screen()
            );
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_does_not_ask_for_a_secret_which_it_would_show() {
    in_ask(120, async |terminal, server| {
        let of = |id: &str, is_secret: bool| {
            json!({
                "id": id, "header": id, "question": format!("Which {id}?"), "isOther": true, "isSecret": is_secret,
                "options": null,
            })
        };
        let questions = [of("password", true), of("colour", false)];
        let method = "item/tool/requestUserInput";
        server.asks(100, method, &json!({"questions": questions, "isBlocking": true}));
        terminal.shows("asks: Which colour?").await;
        terminal.enter("blue").await;
        let answer = server.answered(100).await;
        assert_eq!(answer["answers"]["colour"]["answers"], json!(["blue"]));
        assert_eq!(answer["answers"].get("password"), None, "{answer}");
        assert!(!terminal.screen().contains("asks: Which password?"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_approval_of_a_tool_is_told_from_a_form_that_poses_as_one() {
    attached(
        async |Attached {
                   rig,
                   terminal,
                   thread,
                   ..
               }| {
            for (call, arguments) in [("c-1", json!({})), ("c-2", json!({"path": "/x", "n": 1.5}))]
            {
                let turn = called(rig, thread, call, "rw", arguments.clone()).await;
                terminal.shows(&format!("with {arguments}")).await;
                terminal.shows("[y/").await;
                let screen = terminal.screen();
                let tool = "an approval to call rw of the MCP server tiny";
                assert!(screen.contains(tool), "{screen}");
                terminal.enter("y").await;
                terminal.shows(&format!("done with {call}")).await;
                turn.finish().await.unwrap();
                let answer = told(rig, call);
                assert!(answer.contains("did it"), "{answer}");
            }

            let turn = called(rig, thread, "c-3", "forged_call", json!({})).await;
            terminal.shows("no such call was seen").await;
            terminal.enter("y").await;
            terminal.shows("only n/t is taken").await;
            terminal.enter("n").await;
            terminal.shows("done with c-3").await;
            turn.finish().await.unwrap();
            let answer = told(rig, "c-3").replace('\\', "");
            assert!(answer.contains(r#""action":"decline""#), "{answer}");
        },
    )
    .await;
}

//! `cas ask`: the answer whole, what was declined, what is piped in, and an end within the time
//! that was given.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use cas_sdk::testing::{Gate, Reply, Usage};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    common::{
        Rig, codex_test,
        scenes::{asks_for_approval, escalated},
        within,
    },
    interrupts::signal,
    people::{cas, lines, piped, run, stderr, stdout},
};

/// A rig whose model may ask for more than the sandbox allows.
pub async fn asking() -> Option<Rig> {
    Rig::with(asks_for_approval).await
}

/// What the user said in the last request to the model.
fn said(rig: &Rig) -> String {
    rig.model
        .requests()
        .last()
        .unwrap()
        .user_texts()
        .last()
        .unwrap()
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_without_deltas_is_printed() {
    codex_test(120, async |rig| {
    let item = json!({"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "All at once."}]});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    rig.model.reply(Reply::new().event(done));
    within(60, async {
        let out = run(&rig, &["ask", "go"]).await;
        assert_eq!(stdout(&out), "All at once.\n", "{}", stderr(&out));
    })
    .await;
}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_messages_of_a_turn_have_a_blank_line_between_them() {
    codex_test(120, async |rig| {
        let call = json!({"cmd": "true"});
        rig.model.reply(
            Reply::new()
                .commentary("First.")
                .function_call("c", "exec_command", call),
        );
        rig.model.reply(Reply::new().delta("Sec").delta("ond."));
        within(60, async {
            let out = run(&rig, &["ask", "go"]).await;
            assert_eq!(stdout(&out), "First.\n\nSecond.\n", "{}", stderr(&out));
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_command_is_told_and_has_an_exit_status_of_its_own() {
    let Some(rig) = asking().await else { return };
    let script = |rig: &Rig| {
        rig.model.reply(escalated("c", "touch x"));
        rig.model.reply(Reply::new().delta("It was not allowed."));
    };
    within(120, async {
        script(&rig);
        let out = run(&rig, &["ask", "go"]).await;
        let told = stderr(&out);
        assert_eq!(out.status.code(), Some(3), "{told}");
        assert!(
            told.lines()
                .any(|line| line.starts_with("cas: declined: ") && line.contains("touch x")),
            "{told}"
        );
        assert!(told.contains("1 action was declined"), "{told}");

        script(&rig);
        let out = run(&rig, &["ask", "--json", "go"]).await;
        assert_eq!(out.status.code(), Some(3));
        let events = lines(&out);
        let approval = events
            .iter()
            .find(|event| event["event"] == "approval")
            .expect("an approval");
        assert_eq!(
            (&approval["accepted"], &approval["decision"]),
            (&json!(false), &json!("decline"))
        );
        assert!(
            approval["what"].as_str().unwrap().contains("touch x"),
            "{approval}"
        );
        let end = events.last().unwrap();
        assert_eq!(
            (
                &end["event"],
                &end["status"],
                &end["declined"],
                &end["exitStatus"]
            ),
            (
                &json!("completed"),
                &json!("completed"),
                &json!(1),
                &json!(3)
            )
        );
        assert!(!rig.home.work_dir().join("x").exists());

        script(&rig);
        let out = run(&rig, &["ask", "--approvals", "auto", "go"]).await;
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        assert!(rig.home.work_dir().join("x").exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_piped_in_and_files_belong_to_the_question() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("ok"));
        within(120, async {
            let out = piped(&rig, &["ask", "review"], "the diff\n").await;
            assert!(out.status.success(), "{}", stderr(&out));
            assert_eq!(said(&rig), "review\n\n<stdin>\nthe diff\n</stdin>");
            let out = piped(&rig, &["ask"], "only this").await;
            assert!(out.status.success(), "{}", stderr(&out));
            assert_eq!(said(&rig), "only this");
            fs::write(rig.home.work_dir().join("notes.txt"), "a note\n").unwrap();
            let out = piped(&rig, &["ask", "read", "-f", "notes.txt"], "").await;
            assert!(out.status.success(), "{}", stderr(&out));
            assert_eq!(
                said(&rig),
                "read\n\n<file path=\"notes.txt\">\na note\n</file>"
            );
        })
        .await;
    })
    .await;
}

#[test]
fn nothing_to_ask_is_wrong_usage_and_starts_nothing() {
    for args in [&["ask"][..], &["ask", ""], &["ask", "-"], &["ask", "  \n"]] {
        let out = Command::new(env!("CARGO_BIN_EXE_cas"))
            .args(args)
            .env("CAS_CODEX", "/no/such/codex")
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", stderr(&out));
        assert!(stderr(&out).contains("nothing to ask"), "{}", stderr(&out));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_the_schema_has_an_exit_status_of_its_own() {
    codex_test(120, async |rig| {
    let schema = json!({"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"], "additionalProperties": false});
    fs::write(rig.home.work_dir().join("schema.json"), schema.to_string()).unwrap();
    fs::write(rig.home.work_dir().join("bad.json"), r#"{"type": 5}"#).unwrap();
    within(120, async {
        for (answer, status, told) in [
            (r#"{"answer":2}"#, 0, ""),
            (r#"{"answer":"two"}"#, 3, "/answer"),
            ("no JSON", 3, "not JSON"),
        ] {
            rig.model.reply(Reply::text(answer));
            let out = run(&rig, &["ask", "--schema", "schema.json", "go"]).await;
            assert_eq!(
                out.status.code(),
                Some(status),
                "{answer}: {}",
                stderr(&out)
            );
            assert!(stderr(&out).contains(told), "{answer}: {}", stderr(&out));
        }
        let out = run(&rig, &["ask", "--schema", "bad.json", "go"]).await;
        assert_eq!(out.status.code(), Some(2), "{}", stderr(&out));
        assert_eq!(
            rig.model.requests().len(),
            3,
            "a wrong schema costs nothing"
        );
    })
    .await;
}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_goes_to_a_new_file_and_never_over_another() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("the answer"));
        let notes = rig.home.work_dir().join("notes.txt");
        fs::write(&notes, "mine").unwrap();
        within(120, async {
            let out = run(&rig, &["ask", "-o", "notes.txt", "go"]).await;
            assert_eq!(out.status.code(), Some(2), "{}", stderr(&out));
            assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
            assert!(
                rig.model.requests().is_empty(),
                "it is known before a turn is spent"
            );
            for args in [
                &["ask", "-o", "new.txt", "go"][..],
                &["ask", "--force", "-o", "notes.txt", "go"],
            ] {
                let out = run(&rig, args).await;
                assert!(out.status.success(), "{}", stderr(&out));
            }
            for name in ["new.txt", "notes.txt"] {
                let text = fs::read_to_string(rig.home.work_dir().join(name)).unwrap();
                assert_eq!(text, "the answer\n");
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_thread_is_gone_on_with_and_the_flags_reach_the_agent() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("ok"));
        within(120, async {
            let first = run(&rig, &["ask", "--json", "first"]).await;
            let thread = lines(&first)[0]["threadId"].as_str().unwrap().to_owned();
            let second = run(
                &rig,
                &["ask", "--json", "--last", "--effort", "high", "second"],
            )
            .await;
            assert_eq!(
                lines(&second)[0]["threadId"],
                *thread,
                "{}",
                stderr(&second)
            );
            let request = rig.model.requests().pop().unwrap();
            assert!(request.user_texts().contains(&"first"));
            assert_eq!(
                request.body()["reasoning"]["effort"],
                "high",
                "{}",
                request.body()["reasoning"]
            );
            // By the beginning of its id, and in a copy.
            let third = run(
                &rig,
                &[
                    "ask",
                    "--json",
                    "--thread",
                    &thread[..13],
                    "--fork",
                    "third",
                ],
            )
            .await;
            assert!(third.status.success(), "{}", stderr(&third));
            assert_ne!(lines(&third)[0]["threadId"], *thread);
            let none = run(&rig, &["ask", "--thread", "ffffffff", "x"]).await;
            assert_eq!(none.status.code(), Some(1));
            assert!(
                stderr(&none).contains("no stored thread"),
                "{}",
                stderr(&none)
            );
            let kept_out = run(&rig, &["ask", "--ephemeral", "x"]).await;
            assert!(kept_out.status.success(), "{}", stderr(&kept_out));
            let listed = run(&rig, &["threads", "list", "--json"]).await;
            assert_eq!(lines(&listed).len(), 2, "the first and its copy");
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_has_the_tokens_and_the_time() {
    codex_test(120, async |rig| {
        rig.model.reply(Reply::text("ok").usage(Usage {
            input_tokens: 400,
            cached_tokens: 100,
            output_tokens: 25,
            ..Usage::default()
        }));
        within(60, async {
            let out = run(&rig, &["ask", "--json", "go"]).await;
            let end = lines(&out).pop().unwrap();
            assert_eq!(
                (&end["usage"]["inputTokens"], &end["usage"]["outputTokens"]),
                (&json!(400), &json!(25)),
                "{end}"
            );
            assert!(
                end["durationMs"].is_u64() && end["exitStatus"] == 0,
                "{end}"
            );
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_another_program_has_open_is_told_in_words() {
    codex_test(120, async |rig| {
        rig.model
            .reply(Reply::new().delta("Once").hold(&Gate::new()));
        within(120, async {
            let mut command = cas(&rig, &["ask", "--json", "a long story"]);
            let mut child = command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
            let first: Value = serde_json::from_str(&out.next().unwrap().unwrap()).unwrap();
            let thread = first["threadId"].as_str().unwrap().to_owned();
            while !out.next().unwrap().unwrap().contains("\"text\"") {}
            for args in [
                &["ask", "--thread", &thread, "and"][..],
                &["threads", "resume", &thread],
                &["steer", &thread, "turn", "hurry"],
            ] {
                let refused = run(&rig, args).await;
                assert_eq!(refused.status.code(), Some(1), "{args:?}");
                let told = stderr(&refused);
                assert!(
                    told.contains("the thread is in use") && told.contains("--fork"),
                    "{args:?}: {told}"
                );
            }
            rig.model.reply(Reply::text("a copy"));
            let copy = run(&rig, &["ask", "--thread", &thread, "--fork", "and"]).await;
            assert_eq!(stdout(&copy), "a copy\n", "{}", stderr(&copy));
            signal(&child, Signal::INT);
            child.wait().unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_of_the_configuration_file_are_defaults() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("ok"));
        let config = rig.home.path().join("cas.toml");
        fs::write(
            &config,
            "effort = \"low\"\n[profiles.deep]\neffort = \"high\"\n",
        )
        .unwrap();
        within(120, async {
            for (args, effort) in [
                (&["ask", "go"][..], "low"),
                (&["ask", "--config-profile", "deep", "go"], "high"),
                (
                    &[
                        "ask",
                        "--effort",
                        "medium",
                        "--config-profile",
                        "deep",
                        "go",
                    ],
                    "medium",
                ),
            ] {
                let mut command = cas(&rig, args);
                command.env("CAS_CONFIG", &config);
                let out = tokio::task::spawn_blocking(move || command.output().unwrap())
                    .await
                    .unwrap();
                assert!(out.status.success(), "{}", stderr(&out));
                let request = rig.model.requests().pop().unwrap();
                assert_eq!(request.body()["reasoning"]["effort"], effort, "{args:?}");
            }
            let mut command = cas(&rig, &["ask", "--config-profile", "none", "go"]);
            command.env("CAS_CONFIG", &config);
            let out = tokio::task::spawn_blocking(move || command.output().unwrap())
                .await
                .unwrap();
            assert_eq!(out.status.code(), Some(2));
            assert!(stderr(&out).contains("[profiles.none]"), "{}", stderr(&out));
        })
        .await;
    })
    .await;
}

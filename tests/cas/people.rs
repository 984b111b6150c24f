//! The commands for people, against the real codex.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Output, Stdio},
};

use cas_sdk::testing::{Gate, Reply};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::common::{Rig, codex_test, within};

/// `cas` with the codex and the home of a rig.
pub fn cas(rig: &Rig, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .env_clear()
        .envs(rig.home.env())
        .env("CAS_CODEX", rig.codex());
    command.env("CAS_SDK_CACHE", rig.home.path().join("cache"));
    command.current_dir(rig.home.work_dir()).args(args);
    command
}

/// Runs it without holding up the model.
pub async fn run(rig: &Rig, args: &[&str]) -> Output {
    let mut command = cas(rig, args);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Runs it with something on standard input.
pub async fn piped(rig: &Rig, args: &[&str], input: &str) -> Output {
    let (mut command, input) = (cas(rig, args), input.to_owned());
    let all = move || {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(all).await.unwrap()
}

pub fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

pub fn stderr(out: &Output) -> String {
    String::from_utf8(out.stderr.clone()).unwrap()
}

pub fn lines(out: &Output) -> Vec<Value> {
    stdout(out)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_streams_the_answer_to_stdout_and_the_rest_to_stderr() {
    codex_test(120, async |rig| {
        rig.model
            .reply(Reply::new().function_call("c", "exec_command", json!({"cmd": "echo hi"})));
        rig.model.reply(Reply::new().delta("It is ").delta("red."));
        within(60, async {
            let out = run(&rig, &["ask", "Why is the build red?"]).await;
            assert!(out.status.success(), "{}", stderr(&out));
            assert_eq!(stdout(&out), "It is red.\n");
            assert!(stderr(&out).contains("echo hi"), "{}", stderr(&out));
            assert!(
                rig.model.requests()[0]
                    .user_texts()
                    .contains(&"Why is the build red?")
            );
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_goes_on_with_a_thread_and_tells_everything_as_json() {
    codex_test(120, async |rig| {
    rig.model.reply(Reply::text("one"));
    rig.model.reply(Reply::text(r#"{"answer":2}"#));
    within(60, async {
        let first = run(&rig, &["ask", "--json", "first"]).await;
        let events = lines(&first);
        assert_eq!(events[0]["event"], "started");
        let end = events.last().unwrap();
        assert_eq!((&end["event"], &end["status"], &end["text"]), (&json!("completed"), &json!("completed"), &json!("one")));
        assert!(events.iter().any(|e| e["event"] == "itemCompleted" && e["item"]["type"] == "agentMessage"));

        let schema = rig.home.work_dir().join("schema.json");
        let wanted = json!({"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"], "additionalProperties": false});
        std::fs::write(&schema, wanted.to_string()).unwrap();
        let thread = end["threadId"].as_str().unwrap();
        let args = ["ask", "--thread", thread, "--schema", "schema.json", "-"];
        let out = piped(&rig, &args, "from stdin").await;
        assert_eq!(stdout(&out), "{\"answer\":2}\n", "{}", stderr(&out));
        let request = &rig.model.requests()[1];
        assert!(request.user_texts().contains(&"from stdin") && request.user_texts().contains(&"first"));
    })
    .await;
}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_takes_too_long_is_steered_and_then_given_up() {
    codex_test(120, async |rig| {
        rig.model
            .otherwise(Reply::new().delta("working").hold(&Gate::new()));
        within(60, async {
            let out = run(
                &rig,
                &[
                    "ask",
                    "go",
                    "--timeout",
                    "1s",
                    "--on-timeout",
                    "hurry",
                    "--grace",
                    "1s",
                ],
            )
            .await;
            assert_eq!(out.status.code(), Some(124), "{}", stderr(&out));
            assert!(stdout(&out).starts_with("working"), "{}", stdout(&out));
            assert!(
                rig.model
                    .requests()
                    .last()
                    .unwrap()
                    .user_texts()
                    .contains(&"hurry")
            );
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_interrupts_the_turn_and_leaves_nothing_running() {
    codex_test(120, async |rig| {
        rig.model
            .reply(Reply::new().delta("Once upon ").hold(&Gate::new()));
        let mut command = cas(&rig, &["ask", "--json", "A long story."]);
        let told = within(60, async {
            tokio::task::spawn_blocking(move || {
                let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
                let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
                let mut next = || -> Option<Value> {
                    Some(serde_json::from_str(&lines.next()?.unwrap()).unwrap())
                };
                let thread = next().unwrap()["threadId"].as_str().unwrap().to_owned();
                while next().unwrap()["event"] != "text" {}
                rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
                while next().is_some() {}
                assert_eq!(child.wait().unwrap().code(), Some(130));
                thread
            })
            .await
            .unwrap()
        })
        .await;
        // The record says how the turn ended: it was not only left behind.
        let read = run(&rig, &["threads", "read", &told, "--turns", "--json"]).await;
        let status = &lines(&read)[0]["turns"][0]["status"];
        assert_eq!(status, "interrupted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_turn_is_told_and_the_exit_code_says_so() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::status(500, "boom"));
        within(60, async {
            let out = run(&rig, &["ask", "go"]).await;
            assert_eq!(out.status.code(), Some(1));
            assert!(
                stderr(&out).contains("cas: the turn failed"),
                "{}",
                stderr(&out)
            );
            let out = run(&rig, &["ask", "--json", "go"]).await;
            assert_eq!(out.status.code(), Some(1));
            assert!(lines(&out).last().unwrap()["error"].is_string());
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_listed_read_forked_archived_and_compacted() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("the answer"));
        within(120, async {
            let asked = run(&rig, &["ask", "--json", "the question"]).await;
            let thread = lines(&asked)[0]["threadId"].as_str().unwrap().to_owned();
            let listed = run(&rig, &["threads", "list", "--json"]).await;
            assert!(
                lines(&listed).iter().any(|t| t["id"] == *thread),
                "{}",
                stdout(&listed)
            );
            let listed = run(&rig, &["threads", "list", "--here"]).await;
            assert!(
                stdout(&listed).contains("the question"),
                "{}",
                stdout(&listed)
            );

            let read = run(&rig, &["threads", "read", &thread, "--turns"]).await;
            assert!(
                stdout(&read).contains("agentMessage: the answer"),
                "{}",
                stdout(&read)
            );
            let read = run(&rig, &["threads", "read", &thread, "--json"]).await;
            assert_eq!(lines(&read)[0]["id"], *thread);
            let resumed = run(&rig, &["threads", "resume", &thread]).await;
            assert_eq!(stdout(&resumed).trim(), thread);

            let forked = run(&rig, &["threads", "fork", &thread]).await;
            assert!(
                forked.status.success() && stdout(&forked).trim() != thread,
                "{}",
                stderr(&forked)
            );
            let compacted = run(&rig, &["threads", "compact", &thread]).await;
            assert!(compacted.status.success(), "{}", stderr(&compacted));
            assert!(
                run(&rig, &["threads", "archive", &thread])
                    .await
                    .status
                    .success()
            );
            let listed = run(&rig, &["threads", "list", "--archived"]).await;
            assert!(
                stdout(&listed).contains(&thread[..13]),
                "{}",
                stdout(&listed)
            );
            assert!(
                run(&rig, &["threads", "unarchive", &thread])
                    .await
                    .status
                    .success()
            );

            let steered = run(&rig, &["steer", &thread, "no-such-turn", "hello"]).await;
            assert_eq!(steered.status.code(), Some(1));
            assert!(
                stderr(&steered).contains("no active turn"),
                "{}",
                stderr(&steered)
            );
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_models_and_the_doctor_tell_what_there_is() {
    codex_test(120, async |rig| {
        let features = run(&rig, &["features", "--json"]).await;
        assert!(lines(&features).len() > 50 && lines(&features)[0]["name"].is_string());
        assert!(stdout(&run(&rig, &["features"]).await).lines().count() > 50);
        let models = run(&rig, &["models", "--json"]).await;
        assert!(
            lines(&models).iter().any(|m| m["isDefault"] == true),
            "{}",
            stdout(&models)
        );

        let doctor = run(&rig, &["doctor"]).await;
        let text = stdout(&doctor);
        assert!(doctor.status.success(), "{}", stderr(&doctor));
        for part in [
            "✓ codex    0.",
            "✓ account  none, and none is needed",
            "✓ needs    ",
            "protocol ",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let doctor = run(&rig, &["doctor", "--json"]).await;
        let report = &lines(&doctor)[0];
        assert_eq!(
            (&report["ok"], &report["error"]),
            (&json!(true), &Value::Null)
        );
        for kind in ["methods", "fields"] {
            for list in ["added", "removed", "changed"] {
                assert!(report["drift"][kind][list].is_array(), "{report}");
            }
        }
    })
    .await;
}

#[test]
fn a_missing_codex_is_one_line_and_exit_1() {
    for command in ["doctor", "models", "threads list", "ask hi", "rate-limits"] {
        let out = Command::new(env!("CARGO_BIN_EXE_cas"))
            .args(command.split(' '))
            .args(["--codex", "/no/such/codex"])
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(1), "{command}");
        assert!(
            stderr(&out).contains("/no/such/codex"),
            "{command}: {}",
            stderr(&out)
        );
    }
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cas"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{:?}", out.status);
    assert_eq!(stderr(&out), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_to_stderr_in_the_form_that_is_asked_for() {
    codex_test(60, async |rig| {
        let mut command = cas(&rig, &["models", "--json", "--log-format", "json"]);
        command.env("RUST_LOG", "cas_sdk=debug");
        let out = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let first = stderr(&out).lines().next().unwrap_or_default().to_owned();
        let line: Value = serde_json::from_str(&first).expect("a JSON log line");
        assert!(line["level"].is_string(), "{line}");
        assert!(lines(&out).len() > 1, "stdout is not mixed with it");
    })
    .await;
}

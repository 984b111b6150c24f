//! Signals, time limits and slow readers: `cas` ends within the time that it has, with a last
//! event, and leaves nothing.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use cas_sdk::testing::{Gate, Reply};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::{
    common::{codex_test, eventually, within},
    fake,
    people::{cas, lines, run, stderr, stdout},
};

/// A server that takes a turn and never says anything of it again.
const SILENT: &str = r#"{"thread/start": {"thread": {"id": "t"}}, "turn/start": {"turn": {"id": "u", "status": "inProgress", "items": []}}}"#;

fn silent(args: &[&str]) -> (Command, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "echo $$ > pid\ntrap '' TERM INT HUP");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .args(args)
        .env("CAS_CODEX", codex)
        .env("FAKE_ANSWERS", SILENT)
        .current_dir(dir.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (command, dir)
}

pub fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).unwrap();
}

fn server_of(dir: &tempfile::TempDir) -> u32 {
    fs::read_to_string(dir.path().join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_turn_of_a_server_that_hangs_with_a_last_event() {
    within(60, async {
        for (which, name, status) in [
            (Signal::INT, "SIGINT", 130),
            (Signal::TERM, "SIGTERM", 143),
            (Signal::HUP, "SIGHUP", 129),
        ] {
            if which == Signal::HUP && crate::ending::hangup_is_ignored() {
                continue;
            }
            let (mut command, dir) = silent(&["ask", "--json", "go"]);
            let mut child = command.spawn().unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            let first: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(first["event"], "started");
            let server = server_of(&dir);
            signal(&child, which);
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            let end: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
            assert_eq!(
                (&end["event"], &end["status"]),
                (&json!("completed"), &json!("interrupted"))
            );
            assert!(end["error"].as_str().unwrap().contains(name), "{end}");
            assert_eq!(child.wait().unwrap().code(), Some(status));
            eventually("the server is gone", || !crate::common::is_alive(server)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_start_ends_what_was_started() {
    for args in [
        &["threads", "list", "--json"][..],
        &["goal", "get", THREAD, "--json"],
        &["goal", "set", THREAD, "Reach it", "--json"],
    ] {
        ends_during_the_start(args).await;
    }
}

async fn ends_during_the_start(args: &[&str]) {
    within(60, async {
        let dir = tempfile::tempdir().unwrap();
        // It never answers `initialize`.
        let codex = fake::executable(
            dir.path(),
            "echo $$ > pid\ntrap '' TERM INT HUP\nwhile :; do sleep 1; done",
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
        command
            .args(args)
            .env("CAS_CODEX", codex)
            .current_dir(dir.path());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("it was started", || {
            fs::read_to_string(dir.path().join("pid")).is_ok_and(|pid| pid.ends_with('\n'))
        })
        .await;
        let server = server_of(&dir);
        signal(&child, Signal::TERM);
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        let last: Value = serde_json::from_str(text.lines().last().expect(args[0])).unwrap();
        assert_eq!(
            last,
            json!({"event": "failed", "error": "ended by SIGTERM", "exitStatus": 143})
        );
        assert_eq!(child.wait().unwrap().code(), Some(143));
        eventually("the server is gone", || !crate::common::is_alive(server)).await;
    })
    .await;
}

const THREAD: &str = "019a2b3c-4d5e-7000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_goal_that_the_server_does_not_stop_with_a_last_event() {
    within(60, async {
        let dir = tempfile::tempdir().unwrap();
        let codex = fake::executable(dir.path(), "trap '' TERM INT HUP");
        let goal = json!({"threadId": THREAD, "objective": "o", "status": "active", "createdAt": 0, "updatedAt": 0,
            "timeUsedSeconds": 0, "tokensUsed": 0});
        let answers = json!({"thread/resume": {"thread": {"id": THREAD}}, "thread/goal/get": {"goal": goal},
            "thread/goal/set": {"goal": goal}, "turn/interrupt": {"never": true}, "thread/list": {"never": true}});
        let log = dir.path().join("log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_cas"))
            .args(["goal", "wait", THREAD, "--json"])
            .env("CAS_CODEX", codex)
            .env("FAKE_ANSWERS", answers.to_string())
            .env("FAKE_LOG", &log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = || fs::read_to_string(&log).unwrap_or_default();
        let resumed = || requests().matches("thread/goal/set").count();
        eventually("the goal goes on", || resumed() > 0).await;
        let before = resumed();
        eventually("it is followed", || requests().lines().last() == Some("thread/goal/set")).await;
        signal(&child, Signal::TERM);
        let mut text = String::new();
        let mut out = child.stdout.take().unwrap();
        out.read_to_string(&mut text).unwrap();
        assert!(resumed() > before, "it was paused: {}", requests());
        let last: Value = serde_json::from_str(text.lines().last().expect("a last event")).unwrap();
        assert_eq!(last, json!({"event": "failed", "error": "ended by SIGTERM", "exitStatus": 143}));
        assert_eq!(child.wait().unwrap().code(), Some(143));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_out_is_the_time_that_was_given_and_0_is_never() {
    within(60, async {
        let (mut command, _dir) = silent(&["ask", "--json", "--timeout", "200ms", "go"]);
        let out = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let end = lines(&out).pop().unwrap();
        assert_eq!(
            (&end["status"], &end["exitStatus"]),
            (&json!("timedOut"), &json!(124))
        );
        assert_eq!(out.status.code(), Some(124));
        assert!(end["error"].as_str().unwrap().contains("200"), "{end}");
    })
    .await;
    codex_test(120, async |rig| {
        rig.model
            .reply(Reply::text("ok").pause(Duration::from_millis(300)));
        within(60, async {
            let out = run(&rig, &["ask", "--timeout", "0", "go"]).await;
            assert_eq!(
                (out.status.code(), stdout(&out)),
                (Some(0), "ok\n".to_owned()),
                "{}",
                stderr(&out)
            );
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_up_neither_a_signal_nor_the_time_out() {
    codex_test(120, async |rig| {
        for (args, status) in [
            (&["ask", "go"][..], 143),
            (&["ask", "--timeout", "1s", "go"], 124),
        ] {
            // More than a pipe holds, and no end.
            rig.model
                .reply(Reply::new().delta("x".repeat(300_000)).hold(&Gate::new()));
            let mut command = cas(&rig, args);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let out = child.stdout.take().unwrap();
            if status == 143 {
                let full = || rustix::io::ioctl_fionread(&out).is_ok_and(|n| n >= 65_536);
                eventually("the pipe is full", full).await;
                signal(&child, Signal::TERM);
            }
            let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
            let ended = within(30, ended).await.unwrap();
            assert_eq!(ended.code(), Some(status), "{args:?}");
            drop(out);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    within(60, async {
        let (mut command, dir) = silent(&["ask", "--json", "go"]);
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        let server = server_of(&dir);
        signal(&child, Signal::INT);
        signal(&child, Signal::TERM);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        assert_eq!(
            ended.await.unwrap().code(),
            Some(130),
            "the first one counts"
        );
        eventually("the server is gone", || !crate::common::is_alive(server)).await;
    })
    .await;
}

/// Ctrl-C in the middle of a turn, or of a goal, whose agent has a command in the background.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_no_shell_no_goal_and_no_turn_behind() {
    codex_test(180, async |rig| {
        for (round, args) in [
            &["ask", "--json", "go"][..],
            &["ask", "--json", "--goal", "go"],
        ]
        .into_iter()
        .enumerate()
        {
            // A `sleep` that no other test has.
            let sleep = format!("sleep 6{round}0{}", std::process::id());
            let arguments = json!({"cmd": sleep, "yield_time_ms": 250});
            rig.model
                .reply(Reply::new().function_call("call", "exec_command", arguments));
            rig.model
                .reply(Reply::new().delta("working").hold(&Gate::new()));
            let mut command = cas(&rig, args);
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let running = sleep.clone();
            let (mut child, thread, rest) = tokio::task::spawn_blocking(move || {
                let mut next = || -> Option<Value> {
                    Some(serde_json::from_str(&lines.next()?.unwrap()).unwrap())
                };
                let thread = next().unwrap()["threadId"].as_str().unwrap().to_owned();
                while next().unwrap()["event"] != "text" {}
                assert!(crate::common::processes(&running) > 0, "the shell runs");
                signal(&child, Signal::INT);
                let mut last = Value::Null;
                while let Some(event) = next() {
                    last = event;
                }
                (child, thread, last)
            })
            .await
            .unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(130), "{args:?}");
            assert!(rest["error"].as_str().unwrap().contains("SIGINT"), "{rest}");
            eventually("the shell has ended", || {
                crate::common::processes(&sleep) == 0
            })
            .await;
            let read = run(&rig, &["threads", "read", &thread, "--turns", "--json"]).await;
            let turns = crate::people::lines(&read);
            assert_eq!(turns[0]["turns"][0]["status"], "interrupted", "{args:?}");
            if args.contains(&"--goal") {
                let goal = run(&rig, &["goal", "get", &thread, "--json"]).await;
                assert_eq!(crate::people::lines(&goal)[0]["status"], "paused");
            }
        }
    })
    .await;
}

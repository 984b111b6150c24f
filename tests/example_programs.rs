//! The examples, run as programs: the real codex, and a scripted model.

mod common;

use std::{collections::HashMap, path::PathBuf, process::Stdio};

use cas_sdk::{
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};
use common::{Rig, codex_test};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// The directory of the examples, which are built if they are missing.
fn examples() -> HashMap<String, PathBuf> {
    let build = std::process::Command::new(env!("CARGO"))
        .args([
            "build",
            "--examples",
            "--features",
            "ws",
            "--message-format",
            "json",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(build.status.success());
    let messages = String::from_utf8(build.stdout).unwrap();
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, message["executable"].as_str()?.into()))
        })
        .collect()
}

/// The output of an example.
async fn run(rig: &Rig, examples: &HashMap<String, PathBuf>, name: &str, args: &[&str]) -> String {
    let output = command(rig, examples, name, args).output().await.unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{name}: {out}{err}");
    out
}

fn command(rig: &Rig, examples: &HashMap<String, PathBuf>, name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(&examples[name]);
    command
        .args(args)
        .env_clear()
        .envs(rig.home.env())
        .env("CAS_CODEX", rig.codex())
        .current_dir(rig.home.work_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn every_program_does_what_it_says() {
    let examples = tokio::task::spawn_blocking(examples).await.unwrap();
    codex_test(120, async |rig| {
        rig.model.reply(Reply::text("Rayleigh."));
        let out = run(&rig, &examples, "ask", &["Why is the sky blue?"]).await;
        assert_eq!(out, "Rayleigh.\n");

        rig.model.reply(
            Reply::new()
                .commentary("Let me look.")
                .function_call("c-1", "exec_command", json!({"cmd": "echo hi"})),
        );
        rig.model.reply(Reply::text("One file."));
        let out = run(&rig, &examples, "stream", &["List the files here."]).await;
        assert!(out.starts_with("Let me look.\n"), "{out}");
        assert!(out.contains("[Some(0)]") && out.contains("echo hi"), "{out}");
        assert!(out.ends_with("One file.\n[completed] 30 tokens\n"), "{out}");

        rig.model.reply(Reply::new().delta("Rust ").hold(&Gate::new()));
        rig.model.reply(Reply::text("A haiku."));
        let out = run(&rig, &examples, "steer", &["A poem.", "A haiku instead."]).await;
        assert_eq!(out, "it begins with \"Rust \"; steering\nA haiku.\n");
        let last = rig.model.requests().pop().unwrap();
        assert!(last.user_texts().contains(&"A haiku instead."));

        let person = json!({
            "about": "He made Linux.", "born": 1969,
            "works": [{"title": "Linux", "kind": "software"}, {"title": "Just for Fun", "kind": "book"}],
        });
        rig.model.reply(Reply::text(person.to_string()));
        let out = run(&rig, &examples, "structured_output", &["Linus Torvalds"]).await;
        assert_eq!(out, "He made Linux.\nborn 1969\n- Linux (Software)\n- Just for Fun (Book)\n");

        rig.model.reply(Reply::text("It is a typo."));
        let out = run(&rig, &examples, "review", &["."]).await;
        assert!(out.contains("It is a typo."), "{out}");

        rig.model.reply(Reply::text("Here we are."));
        let out = run(&rig, &examples, "resume", &["Where were we?"]).await;
        assert!(out.contains("(Resumed)\nHere we are.\n"), "{out}");
        let last = rig.model.requests().pop().unwrap();
        let history = Value::from(last.input().to_vec()).to_string();
        assert!(history.contains("It is a typo."), "not the latest: {history}");

        let out = run(&rig, &examples, "requests", &["x/y"]).await;
        assert!(out.contains(" models\n"), "{out}");
        assert_eq!(out.matches(" (").count(), 5, "{out}");
        assert!(out.ends_with("this codex has no x/y\n"), "{out}");

        rig.model.reply(Reply::text("Hello."));
        let out = run(&rig, &examples, "events", &["Say hello."]).await;
        let told = "thread 0: turn/started\nthread 0: turn/completed\n2 items\n";
        assert_eq!(out, told);

        let out = run(&rig, &examples, "instances", &["2"]).await;
        assert_eq!(out, "2 instances answered: [0, 0] threads\n");

        rig.model.reply(Reply::text("In here."));
        let address = format!("unix://{}/own/s.sock", rig.home.path().display());
        let out = run(&rig, &examples, "serve", &[&address, "Where are we?"]).await;
        assert!(out.starts_with("In here.\njoin with: codex resume "), "{out}");
        assert!(out.ends_with(&format!(" --remote {address}\n")), "{out}");

        let own = rig.builder().serve(address.as_str()).await.unwrap();
        let _thread = own.start_thread(ThreadStartParams::default()).await.unwrap();
        let out = run(&rig, &examples, "live", &[&address]).await;
        assert!(out.contains(&format!(" at {address} ")), "{out}");
        assert!(out.contains(" rests: "), "{out}");
        assert!(out.contains("no server is there"), "{out}");

        own.shutdown().await;
        assert_eq!(rig.model.unexpected(), [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn the_programs_for_live_sessions_post_watch_and_join() {
    let examples = tokio::task::spawn_blocking(examples).await.unwrap();
    codex_test(120, async |rig| {
        let address = format!("unix://{}/own/s.sock", rig.home.path().display());
        let own = rig.builder().serve(address.as_str()).await.unwrap();
        let thread = own
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        rig.model.reply(Reply::text("I see."));
        let mut turns = thread.turns();
        let to = [&address, thread.id(), "ci", "It is", "red."];
        let out = run(&rig, &examples, "post", &to).await;
        let turn = out.strip_prefix("it has started turn ").unwrap().trim();
        let begun = turns.next().await.unwrap().unwrap();
        assert_eq!(begun.id(), turn);
        assert_eq!(begun.finish().await.unwrap().text, "I see.");

        let mut watch = command(&rig, &examples, "watch", &[&address, thread.id()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut watched = BufReader::new(watch.stdout.take().unwrap()).lines();
        let first = watched.next_line().await.unwrap().unwrap();
        assert_eq!(first, format!("watching {}", thread.id()));

        let thread = own
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let ask = async |text: &str| {
            rig.model.reply(Reply::text(text));
            thread.ask("Go.").await.unwrap().finish().await.unwrap();
        };
        ask("Before the join.").await;
        let mut join = command(&rig, &examples, "join", &[thread.id(), &address])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(join.stdout.take().unwrap()).lines();
        let snapshot = lines.next_line().await.unwrap().unwrap();
        assert!(snapshot.ends_with(": Completed, 2 items"), "{snapshot}");
        ask("After the join.").await;
        own.shutdown().await;
        assert!(join.wait().await.unwrap().success());
        let begins = lines.next_line().await.unwrap().unwrap();
        assert!(begins.ends_with(" begins"), "{begins}");
        let text = lines.next_line().await.unwrap().unwrap();
        assert_eq!(text, "After the join.");

        let mut out = String::new();
        while let Some(line) = watched.next_line().await.unwrap() {
            out.push_str(&line);
            out.push('\n');
        }
        assert!(
            out.contains("lost: the connection to codex app-server has ended"),
            "{out}"
        );
        assert!(out.contains("no server is there"), "{out}");
        assert!(watch.wait().await.unwrap().success());

        assert_eq!(rig.model.unexpected(), [""; 0]);
    })
    .await;
}

//! `cas proxy --connect`: JSON lines to and from a server that others use, too.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use cas_sdk::{
    live::{Auth, Endpoint},
    protocol::ThreadStartParams,
    testing::Reply,
};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    common::{
        Rig, codex_test_with, eventually,
        scenes::{accepts_when_told, asks_for_approval, escalated},
    },
    instance::Instance,
    people::{run, stderr},
};

fn joined(rig: &Rig, flags: &[&str]) -> Instance {
    joined_at(rig, "unix://", flags)
}

fn joined_at(rig: &Rig, address: &str, flags: &[&str]) -> Instance {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command
        .args(["proxy", "--connect", address, "--state-file"])
        .arg(dir.path().join("state.json"))
        .args(flags)
        .env_clear()
        .envs(rig.home.env())
        .current_dir(rig.home.work_dir());
    Instance::run(command, dir)
}

/// Has the proxy follow a thread.
fn follow(cas: &mut Instance, thread: &str) {
    let params = json!({"threadId": thread, "excludeTurns": true});
    let resume = json!({"type": "cas/request", "method": "thread/resume", "params": params});
    cas.send(&resume.to_string());
    cas.event(|e| e["requestMethod"] == "thread/resume");
}

const SECRET: &str = "hunter2hunter2hunter2";

/// A server that listens on a port of this machine, and wants a token.
struct Guarded {
    child: Child,
    address: String,
    /// The file with the token.
    file: PathBuf,
}

impl Guarded {
    fn start(rig: &Rig) -> Self {
        let file = rig.home.path().join("token");
        fs::write(&file, SECRET).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut child = Command::new(rig.codex())
            .args(["app-server", "--listen", "ws://127.0.0.1:0"])
            .args(["--ws-auth", "capability-token", "--ws-token-file"])
            .arg(&file)
            .env_clear()
            .envs(rig.home.env())
            .current_dir(rig.home.work_dir())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("ws://")?;
            let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
            Some(format!("ws://{}", &rest[..end.unwrap_or(rest.len())]))
        });
        // The server ends if it can't write there.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: address.unwrap(),
            file,
        }
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_joins_a_server_that_wants_a_token_over_a_websocket_and_shows_no_token() {
    codex_test_with(asks_for_approval, 120, async |rig| {
        let mut guarded = Guarded::start(&rig);
        let file = guarded.file.to_str().unwrap().to_owned();
        let endpoint: Endpoint = guarded.address.parse().unwrap();
        let endpoint = endpoint.auth(Auth::token_file(&file));
        let asked = Arc::new(Notify::new());
        let owner = rig.builder().approvals(accepts_when_told(&asked));
        let owner = owner.connect_to(endpoint).await.unwrap();
        let params = ThreadStartParams::default();
        let thread = owner.start_thread(params).await.unwrap();
        rig.model.reply(Reply::text("hello"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();

        let mut cas = joined_at(&rig, &guarded.address, &["--token-file", &file]);
        let starting = cas.event(|e| e["type"] == "cas/starting");
        assert_eq!(starting["address"], guarded.address);
        cas.ready();
        follow(&mut cas, thread.id());
        rig.model.reply(escalated("c-1", "touch here"));
        // Longer than one read takes, and than a frame needs to be.
        let long = "na ".repeat(100_000);
        rig.model.reply(Reply::text(&long));
        let turn = thread.ask("go").await.unwrap();
        let request = cas.event(|e| e["type"] == "cas/serverRequest");
        let turn_id = request["msg"]["params"]["turnId"].clone();
        assert_eq!(request["timeoutMs"], 0, "it waits for ever");
        eventually("it was not answered", || {
            !owner.pending_requests().is_empty()
        })
        .await;
        asked.notify_one();
        assert_eq!(turn.finish().await.unwrap().text, long);
        let message = cas.event(|e| {
            e["method"] == "item/completed" && e["msg"]["params"]["item"]["type"] == "agentMessage"
        });
        let params = &message["msg"]["params"];
        assert_eq!(params["turnId"], turn_id);
        assert_eq!(params["item"]["text"], long, "whole");
        let state = fs::read_to_string(cas.dir.path().join("state.json")).unwrap();
        assert!(!state.contains(SECRET), "{state}");
        cas.send(r#"{"type":"cas/exit"}"#);
        let events = serde_json::to_string(&cas.rest()).unwrap();
        assert!(!events.contains(SECRET), "{events}");
        assert_eq!(cas.wait().code(), Some(0));
        assert!(guarded.is_alive(), "it goes on");

        let wrong = rig.home.path().join("wrong");
        fs::write(&wrong, "hunter3hunter3hunter3").unwrap();
        fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
        for flags in [&[][..], &["--token-file", wrong.to_str().unwrap()]] {
            let mut cas = joined_at(&rig, &guarded.address, flags);
            let error = cas.event(|e| e["type"] == "cas/error");
            assert_eq!(error["message"], "the server can't be joined");
            let rest = serde_json::to_string(&(error, cas.rest())).unwrap();
            assert!(rest.contains("token") && !rest.contains("hunter"), "{rest}");
            assert_eq!(cas.wait().code(), Some(1));
        }
        let mut cas = joined_at(&rig, &guarded.address, &["--token-file", &file]);
        cas.ready();
        drop(guarded);
        cas.event(|e| e["type"] == "cas/appServerExit");
        assert_eq!(cas.wait().code(), Some(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_a_joined_server_passes_everything_on_answers_nothing_and_ends_nothing() {
    codex_test_with(asks_for_approval, 120, async |rig| {
        let asked = Arc::new(Notify::new());
        let owner = rig.builder().approvals(accepts_when_told(&asked));
        let owner = owner.serve("unix://").await.unwrap();
        let thread = owner
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        rig.model.reply(Reply::text("hello"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();

        let mut cas = joined(&rig, &[]);
        let starting = cas.event(|e| e["type"] == "cas/starting");
        assert!(starting["codexPath"].is_null(), "{starting}");
        assert_eq!(starting["address"], "unix://");
        let ready = cas.ready();
        assert!(ready["appServerPid"].is_null(), "{ready}");
        follow(&mut cas, thread.id());

        rig.model.reply(escalated("c-1", "touch here"));
        rig.model.reply(Reply::text("done"));
        let turn = thread.ask("go").await.unwrap();
        let request = cas.event(|e| e["type"] == "cas/serverRequest");
        assert_eq!(request["method"], "item/commandExecution/requestApproval");
        assert_eq!(request["timeoutMs"], 0, "it waits for ever");
        eventually("it was not answered", || {
            !owner.pending_requests().is_empty()
        })
        .await;
        asked.notify_one();
        turn.finish().await.unwrap();
        assert!(rig.home.work_dir().join("here").exists(), "it was accepted");
        cas.event(|e| e["method"] == "serverRequest/resolved");
        let name = json!({"threadId": thread.id(), "name": "named"});
        let last = json!({"type": "cas/request", "method": "thread/name/set", "params": name});
        cas.send(&last.to_string());
        cas.event(|e| e["requestMethod"] == "thread/name/set");
        cas.send(r#"{"type":"cas/exit"}"#);
        let events = cas.rest();
        assert!(
            events.iter().all(|e| e["reason"] != "autoApproval"),
            "{events:?}"
        );
        assert_eq!(cas.wait().code(), Some(0));
        let fetched = thread.fetch().await.unwrap();
        assert_eq!(fetched.name.as_deref(), Some("named"), "the server goes on");

        // A signal ends the proxy, and the end of the server does, too.
        let mut cas = joined(&rig, &[]);
        cas.ready();
        cas.signal(rustix::process::Signal::TERM);
        assert_eq!(cas.wait().code(), Some(1));
        assert!(thread.fetch().await.is_ok());
        let mut cas = joined(&rig, &[]);
        cas.ready();
        owner.shutdown().await;
        let ended = cas.event(|e| e["type"] == "cas/appServerExit");
        assert!(
            ended["code"].is_null() && ended["signal"].is_null(),
            "{ended}"
        );
        assert_eq!(cas.wait().code(), Some(1));
        let mut cas = joined(&rig, &[]);
        let error = cas.event(|e| e["type"] == "cas/error");
        assert_eq!(error["message"], "the server can't be joined");
        assert_eq!(cas.wait().code(), Some(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_have_no_meaning_for_a_joined_server_are_refused() {
    codex_test_with(
        |home| home,
        60,
        async |rig| {
            for flag in [
                &["--exec-approval", "accept"][..],
                &["--read-only"],
                &["--codex", "codex"],
                &["--server-request-timeout-ms", "5"],
            ] {
                let flags = [&["proxy", "--connect", "unix://"], flag].concat();
                let out = run(&rig, &flags).await;
                assert_eq!(out.status.code(), Some(2), "{flag:?}: {}", stderr(&out));
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_from_a_file_or_the_environment_and_is_never_shown() {
    codex_test_with(
        |home| home,
        120,
        async |rig| {
            let guarded = Guarded::start(&rig);
            let (address, file) = (guarded.address.as_str(), guarded.file.to_str().unwrap());
            let list = ["threads", "list", "--connect", address];
            let refused = run(&rig, &list).await;
            assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
            let with_file = [&list[..], &["--token-file", file]].concat();
            let listed = run(&rig, &with_file).await;
            assert!(listed.status.success(), "{}", stderr(&listed));
            for (token, works) in [(SECRET, true), ("hunter3hunter3", false)] {
                let mut command = crate::people::cas(&rig, &list);
                command
                    .env("CAS_CONNECT_TOKEN", token)
                    .env("RUST_LOG", "trace");
                let out = tokio::task::spawn_blocking(move || command.output().unwrap());
                let out = out.await.unwrap();
                assert_eq!(out.status.success(), works, "{}", stderr(&out));
                assert!(!stderr(&out).contains(token), "{}", stderr(&out));
            }
        },
    )
    .await;
}

/// `cas proxy` while it joins a server that takes the connection and says nothing; the listener
/// keeps it waiting.
fn joining() -> (std::os::unix::net::UnixListener, Child, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("silent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_cas"))
        .args(["proxy", "--state-file", "state.json", "--connect"])
        .arg(format!("unix://{}", socket.display()))
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    (listener, child, dir)
}

#[test]
fn while_a_server_is_joined_events_are_written_and_signals_and_a_closed_output_end_it() {
    let types = |lines: Vec<String>| -> Vec<String> {
        let types = lines.iter().map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["type"].as_str().unwrap().to_owned()
        });
        types.collect()
    };
    let (_listener, mut child, _dir) = joining();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while told
        .last()
        .is_none_or(|line: &String| !line.contains("cas/starting"))
    {
        told.push(lines.next().unwrap().unwrap());
    }
    crate::interrupts::signal(&child, rustix::process::Signal::TERM);
    let rest = types(lines.map(Result::unwrap).collect());
    assert_eq!(rest, ["cas/signal"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));

    let (_listener, mut child, _dir) = joining();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

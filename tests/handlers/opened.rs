//! What is said when a thread is opened that won't work as its handlers expect.

use std::{
    io,
    sync::{Arc, Mutex},
};

use cas_sdk::{
    ToolContext,
    policy::{Policy, Rule},
    protocol::ThreadForkParams,
    testing::Reply,
    tools::DynamicTool,
};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use crate::{
    approvals,
    common::{Rig, codex_test, codex_test_with, within},
    start, turn,
};

/// What goes to `tracing` in this thread, which is where everything of a test runs.
pub(crate) struct Log {
    lines: Arc<Lines>,
    _logging: DefaultGuard,
}

#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<u8>>);

impl io::Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start() -> Self {
        let lines = Arc::<Lines>::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        Self {
            lines,
            _logging: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        all.lines()
            .filter(|line| line.contains(text))
            .map(str::to_owned)
            .collect()
    }
}

fn tool(name: &str, description: &str) -> DynamicTool {
    DynamicTool::new(name, description, |_: Value, _cx: ToolContext| async {
        Ok("")
    })
    .input_schema(json!({"type": "object", "properties": {}}))
}

#[tokio::test]
async fn tools_that_are_not_those_the_thread_was_started_with_are_told() {
    codex_test(60, async |rig| {
        let builder = || rig.builder().tool(tool("same", "d").namespace("n"));
        let client = builder()
            .tool(tool("changed", "old"))
            .tool(tool("gone", "d"))
            .spawn()
            .await
            .unwrap();
        rig.model.reply(Reply::text("hello"));
        let thread = start(&client).await;
        turn(&thread).await;
        client.shutdown().await;

        let log = Log::start();
        let client = builder()
            .tool(tool("changed", "old"))
            .tool(tool("gone", "d"))
            .spawn()
            .await
            .unwrap();
        client.resume_thread(thread.id()).await.unwrap();
        assert_eq!(log.lines("advertised"), [""; 0], "all the same");
        client.shutdown().await;

        let client = builder()
            .tool(tool("changed", "new"))
            .tool(tool("late", "d"))
            .spawn()
            .await
            .unwrap();
        client.resume_thread(thread.id()).await.unwrap();
        for what in [
            "tool changed was advertised with another specification",
            "tool gone was advertised and is not registered",
            "tool late is registered but was not advertised",
        ] {
            assert_eq!(log.lines(what).len(), 1, "{:?}", log.lines(""));
        }
        assert_eq!(log.lines("n.same"), [""; 0]);
        client
            .fork_thread(ThreadForkParams::new(thread.id()))
            .await
            .unwrap();
        assert_eq!(
            log.lines("tool gone was advertised").len(),
            2,
            "{:?}",
            log.lines("tool")
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_keeps_the_server_from_asking_is_told_once() {
    codex_test(120, async |rig| {
        within(60, async {
            let log = Log::start();
            rig.model.otherwise(Reply::text("done"));
            let client = rig
                .builder()
                .approvals(Policy::auto())
                .spawn()
                .await
                .unwrap();
            let thread = start(&client).await;
            turn(&thread).await;
            turn(&thread).await;
            let told =
                log.lines("no approvals of commands and changes of files will reach the handlers");
            assert_eq!(told.len(), 1, "{:?}", log.lines("approval"));
            assert!(told[0].contains("never") && told[0].contains(thread.id()));
            client.shutdown().await;
            let client = rig.client().await;
            start(&client).await;
            assert_eq!(
                log.lines("will reach the handlers").len(),
                3,
                "nobody is there to be reached"
            );
            client.shutdown().await;
        })
        .await;
        let Some(rig) = Rig::with(approvals::config).await else {
            return;
        };
        within(60, async {
            let log = Log::start();
            let client = rig
                .builder()
                .approvals(Policy::auto())
                .spawn()
                .await
                .unwrap();
            start(&client).await;
            assert_eq!(
                log.lines("will reach the handlers"),
                [""; 0],
                "the server asks"
            );
            client.shutdown().await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn decisions_go_to_the_log_without_the_command() {
    codex_test_with(approvals::config, 60, async |rig| {
        let log = Log::start();
        rig.model
            .reply(approvals::escalated("c-1", "touch secret-name"));
        rig.model.reply(Reply::text("done"));
        let client = rig
            .builder()
            .approvals(Policy::auto())
            .spawn()
            .await
            .unwrap();
        turn(&start(&client).await).await;
        client.shutdown().await;
        let told = log.lines("cas_sdk::audit");
        assert_eq!(told.len(), 1, "{told:?}");
        for what in ["by=Policy::auto", "decision=\"accept\"", "item=\"c-1\""] {
            assert!(told[0].contains(what), "{told:?}");
        }
        assert_eq!(log.lines("secret-name"), [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_accepts_a_program_that_runs_others_is_warned_of_once_when_it_is_registered() {
    let log = Log::start();
    let policy = Policy::decline()
        .rule(Rule::accept().command("git").named("all of git"))
        .rule(Rule::accept().command("git status").exact_cwd("/repo"))
        .rule(Rule::accept().exact_command("make"))
        .rule(Rule::decline().command("find"));
    let builder = cas_sdk::CasClient::builder().approvals(policy);
    let (_client, mut peer) = crate::common::raw::RawServer::connect(builder).await;
    for _ in 0..2 {
        let params = json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "command": "git fetch"});
        peer.request(1, "item/commandExecution/requestApproval", params)
            .await;
        assert_eq!(peer.next().await["result"]["decision"], "accept");
    }
    let warned: Vec<_> = log
        .lines("cas_sdk")
        .into_iter()
        .filter(|line| line.contains("WARN") && line.contains("accepts `"))
        .collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].contains("all of git") && warned[0].contains("accepts `git`"),
        "{warned:?}"
    );
}

//! `cas watch` and `cas attach`: sessions that others run.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
    sync::Arc,
};

use cas_sdk::{
    CasClient, Thread,
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    common::{
        Rig, codex_test, codex_test_with, eventually,
        scenes::{accepts_when_told, asks_for_approval, escalated},
        within,
    },
    json::{assert_same_form, examples},
    people::{cas, run, stderr},
    screens::start,
    tmux::Terminal,
};

/// A session whose owner accepts an approval when it is told to.
pub async fn served(rig: &Rig, answer: &Arc<Notify>) -> (CasClient, Thread) {
    let owner = rig.builder().approvals(accepts_when_told(answer));
    let owner = owner.serve("unix://").await.unwrap();
    let params = ThreadStartParams::default();
    let thread = owner.start_thread(params).await.unwrap();
    rig.model.reply(Reply::text("hello"));
    thread.ask("hi").await.unwrap().finish().await.unwrap();
    (owner, thread)
}

/// `cas attach` in a terminal of so many columns, on such a session that is idle.
pub async fn attached(rig: &Rig, terminal: &Terminal, columns: u16) -> (CasClient, Thread) {
    let (owner, thread) = served(rig, &Arc::default()).await;
    rig.model.next_request().await;
    start(terminal, rig, columns, &[], &["attach", thread.id()]);
    terminal.shows("idle").await;
    (owner, thread)
}

/// `cas watch` as it runs.
pub struct Watching {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    examples: BTreeMap<String, Value>,
}

impl Watching {
    pub fn start(rig: &Rig, args: &[&str]) -> Self {
        let mut command = cas(rig, &[&["watch", "--json"], args].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            examples: examples(),
        }
    }

    /// The events up to one of this name.
    pub fn until(&mut self, event: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.next().expect(event).unwrap();
            let value: Value = serde_json::from_str(&line).unwrap();
            let name = format!("cas watch {}", value["event"].as_str().unwrap());
            if let Some(example) = self.examples.get(&name) {
                assert_same_form(example, &value, &name);
            } else {
                let of_ask = format!("cas ask {}", value["event"].as_str().unwrap());
                assert!(self.examples.contains_key(&of_ask), "no example: {line}");
            }
            let found = value["event"] == event;
            seen.push(value);
            if found {
                return seen;
            }
        }
    }

    pub fn leave(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_shows_a_session_and_leaves_its_approvals_to_its_owner() {
    codex_test_with(asks_for_approval, 120, async |rig| {
        let answer = Arc::<Notify>::default();
        let (owner, thread) = served(&rig, &answer).await;
        let mut watching = Watching::start(&rig, &[&thread.id()[..13]]);
        let joined = tokio::task::block_in_place(|| watching.until("joined"));
        assert_eq!(joined[0]["threadId"], thread.id());
        assert_eq!(joined[0]["running"], false);
        rig.model.reply(escalated("c-1", "touch here"));
        rig.model.reply(Reply::text("it is done"));
        let turn = thread.ask("go").await.unwrap();
        let seen = tokio::task::block_in_place(|| watching.until("requestPending"));
        assert_eq!(seen[0]["event"], "turnStarted", "{seen:?}");
        let pending = seen.last().unwrap();
        assert_eq!(pending["method"], "item/commandExecution/requestApproval");
        assert!(pending["what"].as_str().unwrap().contains("touch here"));
        // Whichever connection hears of it first.
        eventually("it still waits", || !owner.pending_requests().is_empty()).await;
        answer.notify_one();
        turn.finish().await.unwrap();
        assert!(
            rig.home.work_dir().join("here").exists(),
            "the owner accepted"
        );
        let seen = tokio::task::block_in_place(|| watching.until("turnCompleted"));
        assert!(
            seen.iter().any(|e| e["event"] == "requestSettled"),
            "{seen:?}"
        );
        let text: String = seen.iter().filter_map(|e| e["delta"].as_str()).collect();
        assert_eq!(text, "it is done");
        assert_eq!(seen.last().unwrap()["status"], "completed");

        // Joined in the middle, and left in the middle.
        watching.leave();
        let gate = Gate::new();
        let reply = Reply::new().delta("half ").hold(&gate).delta("whole");
        rig.model.reply(reply);
        let turn = thread.ask("again").await.unwrap();
        let mut watching = Watching::start(&rig, &[thread.id()]);
        let joined = tokio::task::block_in_place(|| watching.until("turnStarted"));
        assert_eq!(joined[0]["running"], true);
        watching.leave();
        gate.open();
        assert_eq!(turn.finish().await.unwrap().text, "half whole");

        let mut watching = Watching::start(&rig, &[thread.id(), "--reconnect", "0"]);
        tokio::task::block_in_place(|| watching.until("joined"));
        owner.shutdown().await;
        tokio::task::block_in_place(|| watching.until("failed"));
        assert_eq!(watching.child.wait().unwrap().code(), Some(1));
        let none = run(&rig, &["watch", thread.id()]).await;
        assert_eq!(none.status.code(), Some(1), "{}", stderr(&none));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_without_a_thread_tells_what_the_sessions_of_the_server_do() {
    codex_test(120, async |rig| {
        let (owner, thread) = served(&rig, &Arc::default()).await;
        let mut watching = Watching::start(&rig, &[]);
        tokio::task::block_in_place(|| watching.until("watching"));
        let name = json!({"threadId": thread.id(), "name": "named"});
        let _: Value = owner.call("thread/name/set", &name).await.unwrap();
        let seen = tokio::task::block_in_place(|| watching.until("thread"));
        assert_eq!(seen[0]["method"], "thread/name/updated");
        assert_eq!(seen[0]["threadId"], thread.id());
        watching.leave();
        owner.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_takes_the_letters_that_the_server_offers_and_no_other_as_an_answer_or_as_input() {
    codex_test_with(asks_for_approval, 180, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(180, async {
            let (owner, _) = attached(&rig, &terminal, 100).await;
            rig.model.reply(escalated("c-1", "touch here"));
            terminal.enter("touch it").await;
            terminal.shows("[y/n/t]").await;
            terminal.enter("s").await;
            terminal.shows("the server does not offer s: y/n/t").await;
            terminal.enter("t").await;
            terminal.shows("interrupted").await;
            assert!(!rig.home.work_dir().join("here").exists());

            terminal.enter("a question").await;
            terminal
                .shows("queued; after an interrupted turn the queue waits")
                .await;
            rig.model.reply(Reply::text("said at once"));
            rig.model.reply(Reply::text("said to the question"));
            terminal.enter("!go on").await;
            terminal.shows("said to the question").await;
            let asked = rig.model.requests();
            let prompts = asked.last().unwrap().prompts();
            let letters = prompts.iter().filter(|prompt| prompt.len() == 1);
            assert_eq!(letters.count(), 0, "{prompts:?}");
            owner.shutdown().await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_types_into_a_session_answers_its_approval_and_leaves_it_running() {
    codex_test_with(asks_for_approval, 180, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(180, async {
            let (owner, thread) = attached(&rig, &terminal, 100).await;
            rig.model.reply(Reply::text("said to you"));
            terminal.enter("a question").await;
            terminal.shows("said to you").await;
            let request = rig.model.next_request().await;
            assert!(request.prompts().contains(&"a question"));

            let gate = Gate::new();
            rig.model.reply(Reply::new().delta("a long ").hold(&gate));
            terminal.enter("a story").await;
            terminal.shows("a long").await;
            rig.model.next_request().await;
            rig.model.reply(Reply::text("short then"));
            terminal.enter("!be brief").await;
            terminal.shows("the turn is steered").await;
            terminal.shows("short then").await;
            let request = rig.model.next_request().await;
            assert!(request.prompts().contains(&"be brief"));

            rig.model.reply(escalated("c-1", "touch here"));
            rig.model.reply(Reply::text("touched"));
            terminal.enter("touch it").await;
            terminal.shows("[y/").await;
            assert!(!rig.home.work_dir().join("here").exists());
            terminal.enter("y").await;
            terminal.shows("touched").await;
            assert!(rig.home.work_dir().join("here").exists(), "it was accepted");

            let gate = Gate::new();
            let reply = Reply::new().delta("going ").hold(&gate).delta("on");
            rig.model.reply(reply);
            terminal.enter("one more").await;
            terminal.shows("going").await;
            let turn = thread.running_turn().await.unwrap().unwrap();
            terminal.key("C-c");
            terminal.shows("exit 0").await;
            gate.open();
            assert_eq!(turn.finish().await.unwrap().text, "going on");
            owner.shutdown().await;
        })
        .await;
    })
    .await;
}

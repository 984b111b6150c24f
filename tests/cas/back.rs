//! `cas watch` and `cas attach` when the connection is lost, and when it is there again.

use cas_sdk::{
    CasClient, Thread,
    client::Role,
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::{
    common::{
        Rig, codex_test, codex_test_with, eventually,
        scenes::{asks_for_approval, escalated},
        within,
    },
    cut::Cut,
    listener::{Listener, builder, socket},
    screens::{shown, start},
    tmux::Terminal,
    watch::Watching,
};

/// A server with a session, and what stands between it and those who watch.
async fn served(rig: &Rig) -> (Listener, Cut, CasClient, Thread) {
    let listener = Listener::unix(rig).await;
    let cut = Cut::before(&socket(rig));
    let away = |_: cas_sdk::handlers::ApprovalRequest, _| {
        std::future::pending::<Result<cas_sdk::handlers::Decision, cas_sdk::handlers::HandlerError>>(
        )
    };
    let owner = builder(rig).role(Role::Driver).approvals(away);
    let owner = owner.connect_to(&listener.address).await.unwrap();
    let params = ThreadStartParams::default().cwd(rig.home.work_dir().to_str().unwrap());
    let thread = owner.start_thread(params).await.unwrap();
    said(rig, &thread, "hello").await;
    (listener, cut, owner, thread)
}

/// A turn in which the agent says this.
async fn said(rig: &Rig, thread: &Thread, text: &str) {
    rig.model.reply(Reply::text(text));
    let turn = thread.ask("go").await.unwrap();
    assert_eq!(turn.finish().await.unwrap().text, text);
}

/// What the agent said, of these events.
fn messages(events: &[Value]) -> Vec<&str> {
    let ended = { events.iter() }.filter(|event| event["event"] == "itemCompleted");
    let items = ended.map(|event| &event["item"]);
    let messages = items.filter(|item| item["type"] == "agentMessage");
    messages
        .map(|item| item["text"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_connection_has_kept_back_is_told_once_when_it_is_there_again() {
    codex_test(120, async |rig| {
        let (listener, cut, owner, thread) = served(&rig).await;
        let args = [thread.id(), "--connect", &cut.address];
        let mut watching = Watching::start(&rig, &args);
        block_in_place(|| watching.until("joined"));
        said(&rig, &thread, "before").await;
        let seen = block_in_place(|| watching.until("turnCompleted"));
        assert_eq!(messages(&seen), ["before"]);

        cut.close(true);
        cut.cut();
        block_in_place(|| watching.until("connectionLost"));
        let tries = block_in_place(|| watching.until("reconnecting"));
        assert_eq!(tries[0]["attempt"], 1, "{tries:?}");
        said(&rig, &thread, "first").await;
        said(&rig, &thread, "second").await;
        cut.close(false);
        let tries = block_in_place(|| watching.until("reconnected"));
        let is_lost = |event: &Value| event["event"] == "connectionLost";
        assert!(!tries.iter().any(is_lost), "it is told once: {tries:?}");
        let back = tries.last().unwrap();
        assert_eq!((&back["items"], &back["turns"]), (&json!(4), &json!(2)));
        assert_eq!(back["incomplete"], Value::Null);
        for text in ["first", "second"] {
            let turn = block_in_place(|| watching.until("turnCompleted"));
            assert_eq!(turn[0]["event"], "turnStarted", "{turn:?}");
            assert_eq!(messages(&turn), [text]);
            assert_eq!(turn.last().unwrap()["status"], "completed");
        }

        // It is lost in the middle of a turn, whose beginning was told.
        let gate = Gate::new();
        let reply = Reply::new().delta("half ").hold(&gate).delta("whole");
        rig.model.reply(reply);
        let turn = thread.ask("go").await.unwrap();
        let begun = block_in_place(|| watching.until("text"));
        assert_eq!(begun[0]["event"], "turnStarted", "{begun:?}");
        assert!(messages(&begun).is_empty());
        cut.cut();
        let back = block_in_place(|| watching.until("reconnected"));
        assert_eq!(back.last().unwrap()["items"], 0, "{back:?}");
        gate.open();
        turn.finish().await.unwrap();
        let rest = block_in_place(|| watching.until("turnCompleted"));
        assert!(rest.iter().all(|e| e["event"] != "turnStarted"), "{rest:?}");
        assert_eq!(messages(&rest), ["half whole"]);
        let users = { rest.iter() }.filter(|e| e["item"]["type"] == "userMessage");
        assert_eq!(users.count(), 0, "the question was told before: {rest:?}");

        // Its turn ends while it is lost, and the next one is told as it comes.
        let gate = Gate::new();
        rig.model
            .reply(Reply::new().delta("a").hold(&gate).delta("b"));
        let turn = thread.ask("go").await.unwrap();
        block_in_place(|| watching.until("text"));
        cut.close(true);
        cut.cut();
        block_in_place(|| watching.until("connectionLost"));
        gate.open();
        turn.finish().await.unwrap();
        cut.close(false);
        block_in_place(|| watching.until("reconnected"));
        let rest = block_in_place(|| watching.until("turnCompleted"));
        assert_eq!(messages(&rest), ["ab"]);
        assert_eq!(rest.len(), 2, "{rest:?}");
        said(&rig, &thread, "after").await;
        let turn = block_in_place(|| watching.until("turnCompleted"));
        assert_eq!(messages(&turn), ["after"]);

        // Ctrl-C leaves in a pause, too.
        cut.close(true);
        cut.cut();
        block_in_place(|| watching.until("reconnecting"));
        watching.leave();
        assert!(thread.fetch().await.is_ok(), "the server goes on");
        owner.shutdown().await;
        listener.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_ends_a_watch_with_the_reason() {
    codex_test(120, async |rig| {
        let (mut listener, cut, _owner, thread) = served(&rig).await;
        for args in [
            &[thread.id(), "--reconnect", "2"][..],
            &["--reconnect", "2"],
        ] {
            let args = [args, &["--connect", &cut.address]].concat();
            let mut watching = Watching::start(&rig, &args);
            let first = if args[0] == thread.id() {
                "joined"
            } else {
                "watching"
            };
            block_in_place(|| watching.until(first));
            cut.close(true);
            cut.cut();
            let seen = block_in_place(|| watching.until("failed"));
            let names: Vec<_> = seen.iter().map(|e| e["event"].as_str().unwrap()).collect();
            let all = ["connectionLost", "reconnecting", "reconnecting", "failed"];
            assert_eq!(names, all, "{seen:?}");
            let attempts: Vec<_> = seen.iter().filter_map(|e| e["attempt"].as_u64()).collect();
            assert_eq!(attempts, [1, 2]);
            assert_eq!(watching.child.wait().unwrap().code(), Some(1));
            cut.close(false);
        }
        let mut watching = Watching::start(
            &rig,
            &[thread.id(), "--connect", &cut.address, "--reconnect", "0"],
        );
        block_in_place(|| watching.until("joined"));
        listener.kill().await;
        let seen = block_in_place(|| watching.until("failed"));
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(watching.child.wait().unwrap().code(), Some(1));
        // What was never there is not waited for.
        let address = format!("unix://{}", rig.home.path().join("none").display());
        for args in [&["watch"][..], &["watch", thread.id()]] {
            let args = [args, &["--connect", &address]].concat();
            let out = crate::people::run(&rig, &args).await;
            assert_eq!(out.status.code(), Some(1));
            let why = crate::people::stderr(&out);
            assert!(why.contains("no server is there"), "{why}");
            assert_eq!(why.lines().count(), 1, "it is tried once: {why}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_all_sessions_comes_back_and_tells_which_ones_stand_otherwise() {
    codex_test(120, async |rig| {
        let (listener, cut, owner, thread) = served(&rig).await;
        let other = owner.start_thread(ThreadStartParams::default()).await;
        let other = other.unwrap();
        let gone = owner.start_thread(ThreadStartParams::default()).await;
        let gone = gone.unwrap();
        rig.model.reply(Reply::text("hello"));
        gone.ask("hi").await.unwrap().finish().await.unwrap();
        rig.model.next_request().await;
        let mut watching = Watching::start(&rig, &["--connect", &cut.address]);
        let first = block_in_place(|| watching.until("watching"));
        assert_eq!(first[0]["threads"], 3);
        cut.close(true);
        cut.cut();
        block_in_place(|| watching.until("connectionLost"));
        let name = json!({"threadId": thread.id(), "name": "another name"});
        let _: Value = owner.call("thread/name/set", &name).await.unwrap();
        let archived = json!({"threadId": gone.id()});
        let _: Value = owner.call("thread/archive", &archived).await.unwrap();
        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("a").hold(&gate));
        let turn = other.ask("go").await.unwrap();
        rig.model.next_request().await;
        cut.close(false);
        block_in_place(|| watching.until("reconnected"));
        let again = block_in_place(|| watching.until("watching"));
        assert_eq!(again[0]["threads"], 2);
        let unloaded = block_in_place(|| watching.until("thread")).remove(0);
        assert_eq!(unloaded["threadId"], gone.id());
        assert_eq!(unloaded["params"]["status"]["type"], "notLoaded");
        let mut told: Vec<_> = (0..2)
            .map(|_| block_in_place(|| watching.until("thread")).remove(0))
            .collect();
        told.sort_by_key(|one| one["threadId"] == *other.id());
        assert!(
            told.iter().all(|one| one["method"] == "thread/read"),
            "{told:?}"
        );
        assert_eq!(told[0]["threadId"], thread.id());
        assert_eq!(told[1]["params"]["status"]["type"], "active", "{told:?}");
        gate.open();
        turn.finish().await.unwrap();
        let live = block_in_place(|| watching.until("thread"));
        assert_eq!(live[0]["method"], "thread/status/changed");
        watching.leave();
        owner.shutdown().await;
        listener.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_comes_back_and_answers_the_approval_that_waits_and_sends_nothing_twice() {
    codex_test_with(asks_for_approval, 180, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(180, async {
            let (listener, cut, owner, thread) = served(&rig).await;
            rig.model.next_request().await;
            let args = ["attach", thread.id(), "--connect", &cut.address];
            start(&terminal, &rig, 100, &[], &args);
            terminal.shows("idle").await;
            rig.model.reply(escalated("c-1", "touch here"));
            rig.model.reply(Reply::text("touched"));
            terminal.enter("touch it").await;
            terminal.shows("[y/").await;

            cut.close(true);
            cut.cut();
            terminal.shows("the connection is lost").await;
            terminal.shows("trying again in").await;
            terminal.enter("a lost question").await;
            terminal.shows("not sent").await;
            let last = || shown(&terminal).last().unwrap().clone();
            eventually("it can be edited", || last() == "> a lost question").await;
            terminal.key("C-u");
            cut.close(false);
            terminal.shows("back; nothing was missed").await;
            eventually("it waits here, too", || {
                terminal.screen().matches("[y/").count() == 2
            })
            .await;
            assert!(!rig.home.work_dir().join("here").exists());
            terminal.enter("y").await;
            terminal.shows("touched").await;
            assert!(rig.home.work_dir().join("here").exists(), "it was accepted");
            let screen = terminal.screen();
            assert_eq!(screen.matches("[y/").count(), 2, "{screen}");
            assert_eq!(screen.matches("answered:").count(), 1, "{screen}");

            rig.model.reply(Reply::text("said to you"));
            terminal.enter("a question").await;
            terminal.shows("said to you").await;
            let asked = rig.model.requests();
            let last = asked.last().unwrap().prompts();
            let times = |text: &str| last.iter().filter(|one| **one == text).count();
            assert_eq!(times("touch it"), 1, "{last:?}");
            assert_eq!(times("a question"), 1, "{last:?}");
            assert_eq!(times("a lost question"), 0, "{last:?}");
            terminal.key("C-c");
            terminal.shows("exit 0").await;
            owner.shutdown().await;
            listener.end().await;
        })
        .await;
    })
    .await;
}

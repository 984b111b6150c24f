//! Turns that this client did not ask for: by their id, the one that runs, and all of a thread as they begin.

use cas_sdk::{
    Error, RpcErrorKind, TurnEvent,
    protocol::{ThreadShellCommandParams, TurnStatus},
    testing::{FakeServer, Gate, Reply},
    turn::StartedBy,
};
use serde_json::json;

use crate::common::{codex_test, within};

#[tokio::test]
async fn a_turn_is_had_by_its_id_while_it_runs_and_after_it_and_is_left_alone() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model
            .reply(Reply::new().delta("one ").hold(&gate).delta("two"));
        let mut turn = thread.ask("go").await.unwrap();
        while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        assert_eq!(turn.started_by(), StartedBy::Us);
        assert_eq!(client.running_turns().len(), 1);
        for _ in 0..3 {
            drop(thread.turn(turn.id()).await.unwrap());
            drop(thread.running_turn().await.unwrap().unwrap());
            drop(client.running_turns());
        }
        let same = thread.turn(turn.id()).await.unwrap();
        assert_eq!(same.started_by(), StartedBy::Us);
        // Not even with the one that asked gone: it was let go, and the others have no say.
        let id = turn.detach().turn_id().to_owned();
        gate.open();
        let outcome = same.finish().await.unwrap();
        assert_eq!((outcome.text.as_str(), outcome.items.len()), ("one two", 2));
        let after = thread.turn(&id).await.unwrap().finish().await.unwrap();
        assert_eq!((after.text.as_str(), after.items.len()), ("one two", 2));
        assert!(thread.running_turn().await.unwrap().is_none());
        assert!(client.running_turns().is_empty());
        client.shutdown().await;

        // Another process has not seen any of it.
        let client = rig.client().await;
        let thread = client.thread(thread.id());
        let stored = thread.turn(&id).await.unwrap().finish().await.unwrap();
        assert_eq!((stored.text.as_str(), stored.items.len()), ("one two", 2));
        assert!(stored.recovered);
        let error = thread.turn("no-such-turn").await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("no-such-turn")),
            "{error:?}"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn every_turn_of_a_thread_is_told_with_who_began_it() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let mut turns = thread.turns();
        rig.model.reply(Reply::text("mine"));
        thread.ask("go").await.unwrap().finish().await.unwrap();
        let first = turns.next().await.unwrap().unwrap();
        assert_eq!(first.started_by(), StartedBy::Us);
        assert_eq!(first.finish().await.unwrap().text, "mine");

        let shell = ThreadShellCommandParams::new(thread.id(), "echo from the shell");
        client.request(shell).await.unwrap();
        let mut shell = turns.next().await.unwrap().unwrap();
        while !matches!(
            shell.next().await.unwrap().unwrap(),
            TurnEvent::ItemStarted(_)
        ) {}
        assert_eq!(shell.started_by(), StartedBy::Shell);
        assert_eq!(shell.finish().await.unwrap().status, TurnStatus::Completed);

        rig.model.reply(Reply::text("summed up"));
        thread.compact().await.unwrap().finish().await.unwrap();
        let compaction = turns.next().await.unwrap().unwrap();
        assert_eq!(compaction.started_by(), StartedBy::Compaction);
        assert_eq!(compaction.finish().await.unwrap().items.len(), 1);

        rig.model.reply(Reply::text("no findings"));
        let target = cas_sdk::protocol::ReviewTarget::custom("look");
        let asked = thread.review(target).await.unwrap();
        let review = turns.next().await.unwrap().unwrap();
        assert_eq!(
            (review.started_by(), review.id()),
            (StartedBy::Review, asked.id())
        );
        assert!(review.finish().await.unwrap().text.contains("no findings"));
        asked.finish().await.unwrap();

        rig.model.reply(Reply::text("again"));
        thread.ask("go").await.unwrap().finish().await.unwrap();
        let last = turns.next().await.unwrap().unwrap();
        assert_eq!(
            (
                last.started_by(),
                last.finish().await.unwrap().text.as_str()
            ),
            (StartedBy::Us, "again")
        );
        client.shutdown().await;
    })
    .await;
}

/// Two connections to a server that a third party has started can't be had over stdio, so the fake plays it.
#[tokio::test]
async fn the_turn_of_a_thread_that_was_active_when_it_was_resumed_is_had() {
    within(20, async {
        let (client, server) = FakeServer::connect(cas_sdk::CasClient::builder()).await.unwrap();
        let mut opened = FakeServer::thread_opened("thr");
        opened["thread"]["status"] = json!({"type": "active", "activeFlags": []});
        server.answer("thread/resume", move |_| Ok(opened.clone()));
        server.answer("thread/read", |_| Ok(json!({"thread": FakeServer::thread("thr", "active")})));
        server.answer("thread/turns/list", |_| {
            let turn = |id, status| json!({"id": id, "status": status, "items": []});
            Ok(json!({"data": [turn("running", "inProgress"), turn("over", "completed")], "nextCursor": null}))
        });
        let thread = client.resume_thread("thr").await.unwrap();
        let turn = thread.running_turn().await.unwrap().unwrap();
        assert_eq!((turn.id(), turn.started_by()), ("running", StartedBy::Unknown));
        server.message("thr", "running", "item", "hello");
        server.turn_completed("thr", "running", "completed");
        server.answer("thread/items/list", |_| Ok(json!({"data": [], "nextCursor": null})));
        assert_eq!(turn.finish().await.unwrap().text, "hello");
        assert!(thread.running_turn().await.unwrap().is_none(), "its end was told");
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_is_named_by_an_item_or_twice_or_late_is_one_turn() {
    within(20, async {
        let (client, server) = FakeServer::connect(cas_sdk::CasClient::builder()).await.unwrap();
        server.opens("thr");
        server.answer("thread/items/list", |_| Ok(json!({"data": [], "nextCursor": null})));
        let thread = client.resume_thread("thr").await.unwrap();
        let mut turns = thread.turns();
        // It never says that it has started.
        server.message("thr", "silent", "item", "hello");
        server.turn_completed("thr", "silent", "completed");
        // It says so twice.
        server.turn_started("thr", "twice");
        server.turn_started("thr", "twice");
        server.message("thr", "twice", "item-2", "there");
        server.turn_completed("thr", "twice", "completed");
        // Something of the first comes late, and something of one that nobody has seen.
        server.status("thr", "idle");
        server.item_completed("thr", "silent", json!({"type": "agentMessage", "id": "late", "text": "x"}));
        server.item_completed("thr", "older", json!({"type": "commandExecution", "id": "cmd", "command": "x", "cwd": "/", "status": "failed", "commandActions": []}));
        server.turn_started("thr", "last");
        let mut texts = Vec::new();
        for _ in 0..2 {
            let turn = turns.next().await.unwrap().unwrap();
            let id = turn.id().to_owned();
            texts.push((id, turn.finish().await.unwrap().text));
        }
        let of = |id: &str, text: &str| (id.to_owned(), text.to_owned());
        assert_eq!(texts, [of("silent", "hello"), of("twice", "there")]);
        let next = turns.next().await.unwrap().unwrap();
        assert_eq!(next.id(), "last", "what comes late begins no turn");
        let running: Vec<_> = client.running_turns().iter().map(|turn| turn.id().to_owned()).collect();
        assert_eq!(running, ["last"]);
    })
    .await;
}

#[tokio::test]
async fn a_turn_of_a_thread_without_a_record_says_why_it_can_not_be_had() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let params = cas_sdk::protocol::ThreadStartParams::default().ephemeral(true);
        let thread = client.start_thread(params).await.unwrap();
        let gate = Gate::new();
        rig.model.reply(Reply::new().hold(&gate).message("fine"));
        let turn = thread.ask("go").await.unwrap();
        let running = thread.running_turn().await.unwrap().unwrap();
        assert_eq!(running.id(), turn.id());
        gate.open();
        assert_eq!(running.finish().await.unwrap().text, "fine");
        let id = turn.id().to_owned();
        turn.finish().await.unwrap();
        // It was seen here, so that it has ended is known; what it said is not on record.
        let again = thread.turn(&id).await.unwrap().finish().await.unwrap();
        assert_eq!(again.status, TurnStatus::Completed);
        assert!(thread.turn("other").await.is_err());
        assert!(
            client
                .thread("00000000-0000-0000-0000-000000000000")
                .turn("x")
                .await
                .is_err_and(|e| {
                    matches!(e, Error::Invalid(_))
                        || e.rpc_kind() == Some(RpcErrorKind::ThreadMissing)
                })
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_of_another_client_is_known_by_its_input_and_is_left_alone() {
    within(20, async {
        let builder = cas_sdk::CasClient::builder();
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        server.opens("thr");
        server.answer("turn/interrupt", |_| Ok(json!({})));
        server.answer("account/read", |_| Ok(json!({"requiresOpenaiAuth": false})));
        let thread = client.resume_thread("thr").await.unwrap();
        let mut turns = thread.turns();
        server.turn_started("thr", "theirs");
        let mut turn = turns.next().await.unwrap().unwrap();
        assert_eq!(turn.started_by(), StartedBy::Unknown);
        let text = json!([{"type": "text", "text": "hi", "text_elements": []}]);
        let input = json!({"type": "userMessage", "id": "u", "clientId": "they", "content": text});
        server.item_completed("thr", "theirs", input);
        while !matches!(
            turn.next().await.unwrap().unwrap(),
            TurnEvent::ItemCompleted(_)
        ) {}
        assert_eq!(turn.started_by(), StartedBy::OtherClient);
        drop((turn, turns));
        // Whatever the drop would send comes before this.
        client.account().await.unwrap();
        assert_eq!(server.calls("turn/interrupt"), 0);
    })
    .await;
}

#[tokio::test]
async fn the_last_turns_of_a_thread_are_remembered_and_older_ones_are_looked_up() {
    within(20, async {
        let builder = cas_sdk::CasClient::builder();
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        server.opens("thr");
        let stored = json!({"id": "turn-0", "items": [], "status": "completed"});
        let stored = json!({"data": [stored], "nextCursor": null});
        server.answer("thread/turns/list", move |_| Ok(stored.clone()));
        let thread = client.resume_thread("thr").await.unwrap();
        let mut ends = client.events(cas_sdk::Filter::all().method("turn/completed"));
        for n in 0..80 {
            let id = format!("turn-{n}");
            server.turn_started("thr", &id);
            server.turn_completed("thr", &id, "completed");
            ends.next().await.unwrap().unwrap();
        }
        let asked = || server.calls("thread/turns/list");
        for n in [79, 40, 16] {
            let turn = thread.turn(format!("turn-{n}")).await.unwrap();
            assert_eq!(turn.partial_outcome().status, TurnStatus::Completed);
        }
        assert_eq!(asked(), 0);
        let turn = thread.turn("turn-0").await.unwrap();
        assert_eq!(turn.partial_outcome().status, TurnStatus::Completed);
        assert_eq!(asked(), 1);
        let error = thread.turn("turn-1").await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("turn-1")),
            "{error:?}"
        );
    })
    .await;
}

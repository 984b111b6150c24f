//! Joining threads that other clients run.

use std::collections::{BTreeMap, BTreeSet};

use cas_sdk::{
    CasClient, Error, ErrorClass, Thread, TurnEvent,
    client::Role,
    error::JoinRefusal,
    live::JoinedThread,
    protocol::{AskForApproval, ThreadResumeParams, ThreadStartParams},
    testing::{Gate, Reply},
};
use serde_json::{Value, json};

use crate::{
    common::{codex_test, eventually, within},
    connect,
    listener::{Listener, builder},
    started,
};

/// The ids of the items in a snapshot, and whether each was complete.
fn items(joined: &JoinedThread) -> Vec<(String, bool)> {
    let turns = serde_json::to_value(joined.turns()).unwrap();
    let turns = turns.as_array().unwrap().clone();
    let items = turns
        .iter()
        .flat_map(|turn| turn["items"].as_array().unwrap().clone());
    let item = |item: Value| {
        let id = item["id"].as_str().unwrap().to_owned();
        (id, item["status"] != "inProgress")
    };
    items.map(item).collect()
}

/// Reads to the end of the running turn. Returns how often each item was completed.
async fn completions(joined: &mut JoinedThread) -> BTreeMap<String, u32> {
    let mut completed = BTreeMap::new();
    loop {
        let event = joined.next().await.unwrap().unwrap().event;
        match event.method() {
            "item/completed" => {
                *completed
                    .entry(event.item_id().unwrap().to_owned())
                    .or_default() += 1;
            }
            "turn/completed" => return completed,
            _ => {}
        }
    }
}

#[tokio::test]
async fn eight_joins_into_a_flood_have_every_item_once() {
    codex_test(180, async |rig| {
        for listener in [Listener::unix(&rig).await, Listener::ws(&rig, &[]).await] {
            let owner = builder(&rig).connect_to(&listener.address).await.unwrap();
            let thread = started(&rig, &owner).await;
            let mut reply = Reply::new();
            for at in 0..400 {
                reply = reply.message(format!("message {at}"));
                reply = reply.pause(std::time::Duration::from_millis(2));
            }
            rig.model.reply(reply);
            let turn = thread.ask("go").await.unwrap();
            let mut all = Vec::new();
            for at in 0..8 {
                // The first half on connections of their own, the others one after the other on the
                // same, which follows the thread already.
                let client = match all.last() {
                    Some((client, _)) if at >= 4 => CasClient::clone(client),
                    _ => connect(&rig, &listener, Role::Observer).await,
                };
                let joined = client.join(thread.id()).await.unwrap();
                all.push((client, joined));
            }
            let outcome = turn.finish().await.unwrap();
            let whole: BTreeSet<String> = {
                let history = thread.history().all().await.unwrap();
                let history = serde_json::to_value(history).unwrap();
                let turns = history.as_array().unwrap();
                let items = turns
                    .iter()
                    .flat_map(|turn| turn["items"].as_array().unwrap());
                items
                    .map(|item| item["id"].as_str().unwrap().to_owned())
                    .collect()
            };
            assert!(
                whole.len() > 400 && outcome.items.len() > 400,
                "{}",
                whole.len()
            );
            let mut in_the_middle = 0;
            for (_, joined) in &mut all {
                let snapshot = items(joined);
                let before: BTreeSet<String> = snapshot
                    .iter()
                    .filter(|(_, done)| *done)
                    .map(|(id, _)| id.clone())
                    .collect();
                assert_eq!(
                    before.len(),
                    snapshot.iter().filter(|(_, done)| *done).count()
                );
                let after = completions(joined).await;
                assert!(after.values().all(|times| *times == 1), "{after:?}");
                let twice: Vec<_> = after.keys().filter(|id| before.contains(*id)).collect();
                assert!(twice.is_empty(), "{twice:?}");
                let mut both = before.clone();
                both.extend(after.keys().cloned());
                assert_eq!(both, whole);
                in_the_middle += usize::from(before.len() > 3 && after.len() > 3);
            }
            assert!(in_the_middle > 0, "no join was in the middle");
            drop(all);
            listener.end().await;
        }
    })
    .await;
}

/// A turn that has streamed the first half of its message, and waits for the gate.
async fn halfway(rig: &crate::Rig, thread: &Thread) -> (cas_sdk::Turn, Gate) {
    let gate = Gate::new();
    rig.model.reply(
        Reply::new()
            .delta("first half, ")
            .hold(&gate)
            .delta("second half"),
    );
    let mut turn = thread.ask("go").await.unwrap();
    while let Some(event) = turn.next().await {
        if matches!(event.unwrap(), TurnEvent::Text { .. }) {
            break;
        }
    }
    (turn, gate)
}

#[tokio::test]
async fn a_message_that_streams_during_the_join_is_partial_until_it_is_complete() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let owner = builder(&rig).connect_to(&listener.address).await.unwrap();
        let thread = started(&rig, &owner).await;
        let (turn, gate) = halfway(&rig, &thread).await;
        let observer = connect(&rig, &listener, Role::Observer).await;
        let mut joined = observer.join(thread.id()).await.unwrap();
        assert_eq!(joined.turns().len(), 2, "{joined:?}");
        assert!(!joined.has_older_turns());
        assert_eq!(
            joined.turns()[1].id,
            turn.id(),
            "the running turn is the last"
        );
        let running = joined.take_turn().unwrap();
        assert!(joined.take_turn().is_none());
        gate.open();
        let (mut partial, mut whole) = (String::new(), String::new());
        loop {
            let update = joined.next().await.unwrap().unwrap();
            let params: Value = serde_json::from_str(update.event.json()).unwrap();
            match update.event.method() {
                "item/agentMessage/delta" => {
                    assert!(update.is_partial);
                    partial.push_str(params["delta"].as_str().unwrap());
                }
                "item/completed" => {
                    assert!(!update.is_partial);
                    params["item"]["text"]
                        .as_str()
                        .unwrap()
                        .clone_into(&mut whole);
                }
                "turn/completed" => break,
                _ => assert!(!update.is_partial, "{update:?}"),
            }
        }
        assert_eq!(
            (partial.as_str(), whole.as_str()),
            ("second half", "first half, second half")
        );
        assert_eq!(
            running.finish().await.unwrap().text,
            "first half, second half"
        );
        turn.finish().await.unwrap();

        // A message that begins after the join is not partial.
        rig.model.reply(Reply::new().delta("one ").delta("two"));
        let next = thread.ask("go on").await.unwrap();
        drop(next.detach());
        let mut text = String::new();
        loop {
            let update = joined.next().await.unwrap().unwrap();
            assert!(!update.is_partial);
            let params: Value = serde_json::from_str(update.event.json()).unwrap();
            match update.event.method() {
                "item/agentMessage/delta" => text.push_str(params["delta"].as_str().unwrap()),
                "turn/completed" => break,
                _ => {}
            }
        }
        assert_eq!(text, "one two");
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn the_running_turn_has_what_was_before_the_join_and_goes_on_when_it_is_dropped() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let owner = builder(&rig).connect_to(&listener.address).await.unwrap();
        let thread = started(&rig, &owner).await;
        let gate = Gate::new();
        rig.model.reply(
            Reply::new()
                .message("a remark")
                .delta("the an")
                .hold(&gate)
                .delta("swer"),
        );
        let mut turn = thread.ask("the question").await.unwrap();
        while let Some(event) = turn.next().await {
            if matches!(event.unwrap(), TurnEvent::Text { delta, .. } if delta == "the an") {
                break;
            }
        }
        let driver = connect(&rig, &listener, Role::Driver).await;
        drop(driver.join(thread.id()).await.unwrap());
        let mut joined = driver.join(thread.id()).await.unwrap();
        drop(joined.take_turn().unwrap());
        let mut joined = driver.join(thread.id()).turns(1).await.unwrap();
        assert_eq!(joined.turns().len(), 1);
        assert!(joined.has_older_turns());
        let mut running = joined.take_turn().unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let event = running.next().await.unwrap().unwrap();
            seen.push(format!("{event:?}"));
        }
        assert!(seen[1].contains("the question"), "{seen:?}");
        gate.open();
        let outcome = running.finish().await.unwrap();
        assert_eq!(outcome.text, "the answer");
        let texts = format!("{:?}", outcome.items);
        assert!(
            texts.contains("a remark") && texts.contains("the question"),
            "{texts}"
        );
        assert_eq!(turn.finish().await.unwrap().text, "the answer");
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_stored_thread_is_joined_as_well_and_a_joined_one_is_driven() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let first = rig.client().await;
        let id = started(&rig, &first).await.id().to_owned();
        first.shutdown().await;
        let driver = builder(&rig).role(Role::Driver).experimental_api(false);
        let driver = driver.connect_to(&listener.address).await.unwrap();
        let mut joined = driver.join(&id).await.unwrap();
        assert_eq!(joined.turns().len(), 1);
        assert_eq!(items(&joined).len(), 2, "the question and the answer");
        assert!(joined.take_turn().is_none());
        rig.model.reply(Reply::text("driven"));
        let turn = joined.thread().ask("and now?").await.unwrap();
        assert_eq!(turn.finish().await.unwrap().text, "driven");
        let completed = within(30, completions(&mut joined)).await;
        assert_eq!(completed.len(), 2);
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_cannot_be_joined_says_why() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let owner = builder(&rig).connect_to(&listener.address).await.unwrap();
        let driver = connect(&rig, &listener, Role::Driver).await;
        let new = owner.start_thread(ThreadStartParams::default()).await.unwrap();
        let error = driver.join(new.id()).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotJoinable { thread_id, reason: JoinRefusal::NoTurnsYet } if thread_id == new.id()),
            "{error:?}"
        );
        assert_eq!(error.class(), ErrorClass::Conflict);
        assert!(error.to_string().contains("had no turn yet"), "{error}");
        // It is driven all the same, and joined after that.
        rig.model.reply(Reply::text("hello"));
        let mut events = new.events();
        let params = json!({"threadId": new.id(), "input": [{"type": "text", "text": "hi"}]});
        driver.call::<Value>("turn/start", &params).await.unwrap();
        while events.next().await.unwrap().unwrap().method() != "turn/completed" {}
        let joined = driver.join(new.id()).await.unwrap();
        assert_eq!(joined.turns().len(), 1);

        let params = ThreadStartParams::default().ephemeral(true);
        let ephemeral = owner.start_thread(params).await.unwrap();
        rig.model.reply(Reply::text("hello"));
        ephemeral.ask("hi").await.unwrap().finish().await.unwrap();
        let error = driver.join(ephemeral.id()).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotJoinable { reason: JoinRefusal::Ephemeral, .. }),
            "{error:?}"
        );
        assert_eq!(error.class(), ErrorClass::Unsupported);
        let nothing = "01a21d64-8a2c-76c3-8d22-783aad12a847";
        let error = driver.join(nothing).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::ThreadMissing, "{error:?}");
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn settings_in_the_resume_of_a_loaded_thread_are_refused() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let owner = builder(&rig).connect_to(&listener.address).await.unwrap();
        let thread = started(&rig, &owner).await;
        let driver = connect(&rig, &listener, Role::Driver).await;
        let params = || {
            ThreadResumeParams::new(thread.id())
                .model("another-model")
                .approval_policy(AskForApproval::Never)
        };
        let error = driver.resume_thread(params()).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(&error, Error::Invalid(_)), "{error:?}");
        assert!(
            text.contains("`model`") && text.contains("`approvalPolicy`"),
            "{text}"
        );
        driver.resume_thread(thread.id()).await.unwrap();
        // A thread that is not loaded takes them.
        thread.archive().await.unwrap();
        thread.unarchive().await.unwrap();
        eventually("it is unloaded", || !thread.is_followed()).await;
        let resumed = driver.resume_thread(params()).await.unwrap();
        let opened: Value = serde_json::from_str(resumed.json()).unwrap();
        assert_eq!(opened["model"], "another-model");
        listener.end().await;
    })
    .await;
}

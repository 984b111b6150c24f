//! Stop means stop: after an interrupt, a drop and a `stop_all` nothing of the agent is left running.

use std::time::{Duration, Instant};

use cas_sdk::{
    Thread, TurnEvent,
    error::RpcError,
    protocol::{ReviewTarget, TurnStatus},
    testing::{FakeServer, Gate, Reply},
};
use serde_json::json;

use crate::common::{Rig, codex_test, eventually, processes, within};

/// Waits until no process of these command lines is left. `docs/turns.md` has the figures that this prints.
async fn ended(how: &str, since: Instant, commands: &[&str]) {
    let left = || commands.iter().map(|c| processes(c)).sum::<usize>();
    eventually("the shells have ended", || left() == 0).await;
    let took = since.elapsed().as_millis();
    eprintln!("{how}: no process is left after {took} ms");
}

/// A `sleep` that no other test has.
fn sleep_of(seconds: u32) -> String {
    format!(
        "sleep {}",
        u64::from(seconds) * 1_000_000 + u64::from(std::process::id())
    )
}

fn shell(call: &str, command: &str) -> Reply {
    Reply::new().function_call(
        call,
        "exec_command",
        json!({"cmd": command, "yield_time_ms": 250}),
    )
}

/// A turn whose agent has a shell in the background and is still at work.
async fn turn_with_shell(rig: &Rig, thread: &Thread, call: &str, command: &str) -> cas_sdk::Turn {
    rig.model.reply(shell(call, command));
    rig.model
        .reply(Reply::new().delta("working").hold(&Gate::new()));
    let mut turn = thread.ask("go").await.unwrap();
    while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
    eventually("the shell runs", || processes(command) > 0).await;
    turn
}

#[tokio::test]
async fn an_interrupted_turn_leaves_no_shell_behind_and_that_of_an_earlier_turn_alone() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        let (kept, ended) = (sleep_of(11), sleep_of(12));
        rig.model.reply(shell("kept", &kept));
        rig.model.reply(Reply::text("it runs"));
        thread.ask("serve").await.unwrap().finish().await.unwrap();
        let turn = turn_with_shell(&rig, &thread, "ended", &ended).await;
        let listed = thread.terminals().await.unwrap();
        assert_eq!(listed.len(), 2, "{listed:?}");
        assert!(
            listed.iter().any(|t| t.command().contains(&ended)),
            "{listed:?}"
        );
        let since = Instant::now();
        assert_eq!(turn.interrupt().await.unwrap(), TurnStatus::Interrupted);
        self::ended("interrupt", since, &[&ended]).await;
        assert!(processes(&kept) > 0, "it belongs to a turn that ended well");
        let listed = thread.terminals().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert!(listed[0].terminate().await.unwrap());
        eventually("the other has ended", || processes(&kept) == 0).await;
        assert!(!listed[0].terminate().await.unwrap(), "it is gone");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_turn_leaves_no_shell_behind() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        let command = sleep_of(21);
        let turn = turn_with_shell(&rig, &thread, "call", &command).await;
        let since = Instant::now();
        drop(turn);
        ended("drop", since, &[&command]).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_detached_turn_keeps_its_shells() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        let command = sleep_of(22);
        let turn = turn_with_shell(&rig, &thread, "call", &command).await;
        let control = turn.detach();
        assert_eq!(thread.terminals().await.unwrap().len(), 1);
        assert!(processes(&command) > 0);
        control.interrupt().await.unwrap();
        eventually("the shell has ended", || processes(&command) == 0).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn stop_all_ends_the_turn_and_every_shell_and_says_so() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        let (early, late) = (sleep_of(31), sleep_of(32));
        rig.model.reply(shell("early", &early));
        rig.model.reply(Reply::text("it runs"));
        thread.ask("serve").await.unwrap().finish().await.unwrap();
        let turn = turn_with_shell(&rig, &thread, "late", &late).await;
        let since = Instant::now();
        let report = client.stop_all(Duration::from_secs(10)).await;
        assert!(report.is_complete(), "{report:?}");
        ended("stop_all", since, &[&early, &late]).await;
        let ran = (thread.id().to_owned(), turn.id().to_owned());
        assert_eq!(
            (report.turns.as_slice(), report.terminals.len()),
            ([ran].as_slice(), 2)
        );
        assert!(turn.finish().await.is_err());
        let again = client.stop_all(Duration::from_secs(10)).await;
        assert!(
            again.is_complete() && again.turns.is_empty() && again.terminals.is_empty(),
            "{again:?}"
        );
        // Nothing of it sticks to the next turn.
        rig.model.reply(Reply::text("fine"));
        assert_eq!(
            thread
                .ask("still there?")
                .await
                .unwrap()
                .finish()
                .await
                .unwrap()
                .text,
            "fine"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn stop_all_ends_a_review_and_a_compaction_too() {
    codex_test(90, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("hello"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        rig.model
            .otherwise(Reply::new().delta("hm").hold(&Gate::new()));
        let review = thread.review(ReviewTarget::custom("look")).await.unwrap();
        rig.model.wait_for_requests(2).await;
        let report = thread.stop_all(Duration::from_secs(10)).await;
        assert!(report.is_complete(), "{report:?}");
        let of = |turn: &cas_sdk::Turn| (thread.id().to_owned(), turn.id().to_owned());
        assert_eq!(report.turns, [of(review.turn())]);
        let compaction = thread.compact().await.unwrap();
        rig.model.wait_for_requests(3).await;
        let report = thread.stop_all(Duration::from_secs(10)).await;
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.turns, [of(&compaction)]);
        assert!(client.running_turns().is_empty());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_does_not_stop_is_in_the_report_and_stopping_ends_in_time() {
    within(60, async {
        let (client, server) = FakeServer::connect(cas_sdk::CasClient::builder())
            .await
            .unwrap();
        server.opens("thr");
        server.starts("turn");
        server.answer("thread/goal/get", |_| {
            Err(RpcError::new(-32600, "goals feature is disabled", None))
        });
        server.answer("turn/interrupt", |_| Ok(json!({})));
        server.answer("thread/list", |_| {
            Ok(json!({"data": [], "nextCursor": null}))
        });
        server.answer("thread/backgroundTerminals/list", |_| {
            Ok(json!({"data": [], "nextCursor": null}))
        });
        let thread = client.resume_thread("thr").await.unwrap();
        let turn = thread.ask("go").await.unwrap();
        server.turn_started("thr", "turn");
        let report = thread.stop_all(Duration::from_millis(600)).await;
        assert!(
            !report.is_complete() && report.turns.is_empty(),
            "{report:?}"
        );
        assert_eq!(report.failures[0].thread_id, "thr");
        assert!(
            report.failures[0]
                .error
                .to_string()
                .contains("turn/completed"),
            "{report:?}"
        );
        drop(turn.detach());
    })
    .await;
}

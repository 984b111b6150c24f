//! Joining the real codex: turns, several clients, and the end of the connection.

use std::time::Duration;

use cas_sdk::{
    Error,
    client::ConnectionKind,
    error::CloseCause,
    protocol::{ModelListParams, ThreadStartParams},
    testing::{Gate, Reply},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    common::{
        Rig, codex_test, eventually, is_alive,
        scenes::{accepts_when_told, asks_for_approval, escalated},
        within,
    },
    kind,
    listener::{Listener, builder, socket},
};

/// The same on both kinds of sockets.
async fn both(rig: &Rig) -> [Listener; 2] {
    [Listener::unix(rig).await, Listener::ws(rig, &[]).await]
}

#[tokio::test]
async fn a_turn_runs_on_a_joined_server_which_outlives_the_client() {
    codex_test(60, async |rig| {
        for listener in both(&rig).await {
            rig.model.reply(Reply::text("hello"));
            let client = builder(&rig).connect_to(&listener.address).await.unwrap();
            let kind = client.connection_kind().clone();
            let address = listener.address.clone();
            assert_eq!(kind, ConnectionKind::Joined { address });
            assert_eq!(client.pid(), None);
            assert!(client.server().unwrap().version().is_some());
            let thread = client
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            let outcome = thread.ask("hi").await.unwrap().finish().await.unwrap();
            assert_eq!(outcome.text, "hello");
            assert_eq!(client.shutdown().await.cause, CloseCause::Shutdown);
            let again = builder(&rig).connect_to(&listener.address).await.unwrap();
            again.request(ModelListParams::default()).await.unwrap();
            drop((client, thread, again));
            assert!(is_alive(listener.pid()));
            listener.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn thirty_two_clients_see_the_same_turn_whole() {
    codex_test(120, async |rig| {
        for listener in both(&rig).await {
            let owner = builder(&rig).connect_to(&listener.address).await.unwrap();
            let thread = owner
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            rig.model.reply(Reply::text("first"));
            thread.ask("begin").await.unwrap().finish().await.unwrap();
            let join = || async {
                let client = builder(&rig).connect_to(&listener.address).await.unwrap();
                let thread = client.resume_thread(thread.id()).await.unwrap();
                (client, thread)
            };
            let joined = futures_util::future::join_all((0..32).map(|_| join())).await;
            let events: Vec<_> = joined.iter().map(|(_, t)| t.events()).collect();
            let mut reply = Reply::new();
            for at in 0..500 {
                reply = reply.delta(format!("{at} "));
            }
            rig.model.reply(reply);
            let all = thread.ask("go").await.unwrap().finish().await.unwrap().text;
            for mut events in events {
                let mut text = String::new();
                loop {
                    let event = events.next().await.unwrap().unwrap();
                    let params: Value = serde_json::from_str(event.json()).unwrap();
                    match event.method() {
                        "item/agentMessage/delta" => {
                            text.push_str(params["delta"].as_str().unwrap());
                        }
                        "turn/completed" => break,
                        _ => {}
                    }
                }
                assert_eq!(text, all);
            }
            drop(joined);
            listener.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn large_messages_pass_both_ways_and_one_that_the_server_would_cut_for_is_refused_here() {
    codex_test(120, async |rig| {
        for listener in both(&rig).await {
            let client = builder(&rig).connect_to(&listener.address).await.unwrap();
            // 20 MiB exceed the server's limit for one frame, so the message is sent in fragments.
            let large = "x".repeat(20 * 1024 * 1024);
            let refusal = client
                .call::<Value>("thread/read", &json!({"threadId": large}))
                .await
                .unwrap_err();
            assert!(refusal.rpc().is_some(), "it was heard: {refusal:?}");
            let too_large = "x".repeat(64 * 1024 * 1024);
            let error = client
                .call::<Value>("thread/read", &json!({"threadId": too_large}))
                .await
                .unwrap_err();
            assert!(matches!(&error, Error::Invalid(_)), "{error:?}");
            assert!(error.to_string().contains("67108864"), "{error}");
            client.request(ModelListParams::default()).await.unwrap();
            listener.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_server_fails_pending_requests_with_the_reason() {
    codex_test(60, async |rig| {
        for mut listener in both(&rig).await {
            let client = builder(&rig).connect_to(&listener.address).await.unwrap();
            let thread = client
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            rig.model
                .reply(Reply::new().delta("half").hold(&Gate::new()));
            let turn = thread.ask("go").await.unwrap();
            listener.kill().await;
            assert!(matches!(turn.finish().await, Err(Error::Turn(_))));
            assert_eq!(client.closed().await.cause, CloseCause::Eof);
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_has_stopped_answering_is_noticed_by_a_ping() {
    codex_test(60, async |rig| {
        for listener in both(&rig).await {
            let endpoint: cas_sdk::live::Endpoint = listener.address.parse().unwrap();
            let endpoint = endpoint.ping_every(Duration::from_millis(500));
            let client = builder(&rig).connect_to(endpoint).await.unwrap();
            // It answers pings, so nothing happens for several of them.
            tokio::time::sleep(Duration::from_secs(2)).await;
            client.request(ModelListParams::default()).await.unwrap();
            listener.signal(Signal::STOP);
            let reason = client.closed().await;
            assert!(
                matches!(&reason.cause, CloseCause::Read(text) if text.contains("ping")),
                "{reason}"
            );
            listener.signal(Signal::CONT);
            listener.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_control_socket_of_a_home_is_found_by_itself() {
    codex_test(60, async |rig| {
        assert!(matches!(
            kind(builder(&rig).connect_to("unix://").await),
            cas_sdk::error::ConnectErrorKind::NoServer
        ));
        // A server of this program at the address of a plain codex.
        let own = rig.builder().serve("unix://").await.unwrap();
        let client = builder(&rig).connect_to("unix://").await.unwrap();
        assert_eq!(
            client.server().unwrap().codex_home,
            rig.home.path().to_str().unwrap()
        );
        own.shutdown().await;
        assert_eq!(client.closed().await.cause, CloseCause::Eof);
        assert!(!socket(&rig).exists());
    })
    .await;
}

#[tokio::test]
async fn a_client_that_joined_leaves_the_approvals_of_other_clients_alone() {
    let rig = Rig::with(asks_for_approval).await;
    let Some(rig) = rig else { return };
    within(120, async {
        for listener in both(&rig).await {
            let asked = std::sync::Arc::new(tokio::sync::Notify::new());
            let (first, second) = (Reply::text("hello"), Reply::text("done"));
            rig.model.reply(first);
            rig.model.reply(escalated("c-1", "touch here"));
            rig.model.reply(second);
            // This client started the thread, so its handlers answer.
            let owner = builder(&rig).approvals(accepts_when_told(&asked));
            let owner = owner.connect_to(&listener.address).await.unwrap();
            let thread = owner
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            thread.ask("hi").await.unwrap().finish().await.unwrap();
            // It has no handlers, and would decline.
            let other = builder(&rig).connect_to(&listener.address).await.unwrap();
            other.resume_thread(thread.id()).await.unwrap();
            let turn = thread.ask("go").await.unwrap();
            eventually("the request is seen by both", || {
                !other.pending_requests().is_empty() && !owner.pending_requests().is_empty()
            })
            .await;
            let pending = other.pending_requests();
            assert_eq!(pending[0].method, "item/commandExecution/requestApproval");
            assert_eq!(pending[0].thread_id.as_deref(), Some(thread.id()));
            asked.notify_one();
            turn.finish().await.unwrap();
            assert!(rig.home.work_dir().join("here").exists(), "it was accepted");
            std::fs::remove_file(rig.home.work_dir().join("here")).unwrap();
            eventually("what was answered elsewhere no longer waits", || {
                other.pending_requests().is_empty()
            })
            .await;
            drop((owner, other));
            listener.end().await;
        }
    })
    .await;
}

//! Futures that are dropped after any number of polls leave nothing behind.

use std::{
    future::{Future, IntoFuture as _},
    pin::{Pin, pin},
    task::{Context, Waker},
};

use cas_sdk::{
    CasClient, Filter, Input,
    protocol::{ThreadLoadedListParams, ThreadStartParams},
    testing::FakeServer,
};
use serde_json::{Value, json};

use crate::{RawServer, ask, common::within};

/// Polls a future `n` times, yields in between, and drops it. Returns whether it had ended.
async fn polled(future: impl Future, n: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..n {
        if poll_once(future.as_mut()) {
            return true;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    false
}

fn poll_once(future: Pin<&mut impl Future>) -> bool {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

#[tokio::test]
async fn a_request_dropped_at_any_await_costs_its_place_only_until_it_is_answered() {
    within(60, async {
        // With one place, one that is not returned is missed at once.
        let (client, server) = FakeServer::connect(CasClient::builder().in_flight(1))
            .await
            .unwrap();
        server.answer("ping", |_| Ok(json!("pong")));
        server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
        let mut ended = false;
        for n in 0.. {
            let calls = server.calls("thread/loaded/list");
            ended = polled(
                client
                    .request(ThreadLoadedListParams::default())
                    .into_future(),
                n,
            )
            .await;
            assert_eq!(
                ask(&client, "ping").await.unwrap(),
                "pong",
                "after {n} polls"
            );
            assert!(server.calls("thread/loaded/list") <= calls + 1);
            if ended {
                break;
            }
        }
        assert!(ended);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_answered_can_be_dropped_for_ever() {
    within(600, async {
        let (client, server) = FakeServer::connect(CasClient::builder().in_flight(2))
            .await
            .unwrap();
        server.answer("ping", |_| Ok(json!("pong")));
        for n in 0..1_000 {
            assert!(!polled(ask(&client, "never"), n % 5).await);
            assert!(
                !polled(
                    client.call::<Value>("turn/start", json!({})).into_future(),
                    n % 5
                )
                .await
            );
        }
        // The server has two and gets no more; after some time it is tried again.
        assert_eq!(server.calls("never") + server.calls("turn/start"), 2);
        assert_eq!(ask(&client, "ping").await.unwrap(), "pong");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_waits_for_its_place_can_be_dropped_and_the_next_one_gets_it() {
    within(60, async {
        let (client, server) = FakeServer::connect(CasClient::builder().in_flight(1))
            .await
            .unwrap();
        for n in 0..5 {
            let mut first = Box::pin(ask(&client, "first"));
            assert!(!poll_once(first.as_mut()));
            let mut second = Box::pin(ask(&client, "second"));
            for _ in 0..n {
                assert!(!poll_once(second.as_mut()));
            }
            let third = tokio::spawn({
                let client = client.clone();
                async move { ask(&client, "third").await }
            });
            tokio::task::yield_now().await;
            assert_eq!(
                server.calls("second") + server.calls("third"),
                n,
                "only those before"
            );
            drop(second);
            // The server has the first request, so its place is free once it is answered.
            drop(first);
            server.next("first").await.reply(json!("nobody hears it"));
            server.next("third").await.reply(json!("there"));
            assert_eq!(third.await.unwrap().unwrap(), "there");
        }
    })
    .await;
}

#[tokio::test]
async fn a_frame_goes_into_a_full_pipe_whole_or_not_at_all() {
    within(60, async {
        // No frame fits into the pipe.
        let (client, mut peer) = RawServer::connect_by(CasClient::builder(), 16).await;
        for n in 0..4 {
            let text = "x".repeat(n * 100);
            let params = json!({"text": text});
            for polls in 0..6 {
                polled(client.call::<Value>("cut", &params).into_future(), polls).await;
            }
        }
        let ping = tokio::spawn({
            let client = client.clone();
            async move { ask(&client, "ping").await }
        });
        let mut cut = 0;
        loop {
            let request: Value = serde_json::from_str(&peer.hear().await).unwrap();
            if request["method"] == "ping" {
                peer.say(
                    json!({"id": request["id"], "result": "pong"})
                        .to_string()
                        .as_bytes(),
                )
                .await;
                break;
            }
            assert_eq!(request["method"], "cut");
            cut += 1;
        }
        assert_eq!((ping.await.unwrap().unwrap(), cut), (json!("pong"), 20));
    })
    .await;
}

#[tokio::test]
async fn a_stream_dropped_at_any_await_costs_the_others_nothing() {
    within(60, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        let mut steady = client.events(Filter::all().method("x"));
        for n in 0..50_u64 {
            let mut fleeting = client.events(Filter::all());
            server.notify("x", json!({"n": n}));
            polled(fleeting.next(), usize::try_from(n).unwrap() % 4).await;
            drop(fleeting);
            assert_eq!(
                steady.next().await.unwrap().unwrap().json(),
                json!({"n": n}).to_string()
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_thread_and_a_turn_that_were_given_up_while_they_began_cost_nothing_later() {
    within(60, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        server.opens("t");
        server.answer("turn/interrupt", |_| Ok(json!({})));
        for n in 0..12 {
            server.starts("given-up");
            polled(client.start_thread(ThreadStartParams::default()), n).await;
            let thread = client
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            polled(thread.ask(Input::from("never mind")).into_future(), n).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            server.turn_started("t", "given-up");
            server.turn_completed("t", "given-up", "interrupted");
            server.starts("kept");
            let turn = thread.ask(Input::from("go")).await.unwrap();
            server.turn_started("t", "kept");
            server.message("t", "kept", "m", "done");
            server.turn_completed("t", "kept", "completed");
            assert_eq!(turn.finish().await.unwrap().text, "done", "after {n} polls");
        }
    })
    .await;
}

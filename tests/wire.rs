//! The lossless wire, over an in-memory pipe and against the real codex.

mod common;

use std::time::Duration;

use cas_sdk::{
    CasClient, Error, Filter, events::Direction, protocol::ThreadLoadedListParams,
    testing::FakeServer,
};
use common::{codex_test, raw::RawServer, watchdog, within};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// A pipe that is small, so that it fills.
async fn connected() -> (CasClient, RawServer) {
    RawServer::connect_by(CasClient::builder(), 4 * 1024).await
}

#[tokio::test]
async fn a_wire_has_both_directions_in_order_and_verbatim() {
    codex_test(30, async |rig| {
        let client = rig.client().await;
        let mut wire = client.wire();
        client
            .request(ThreadLoadedListParams::default())
            .await
            .unwrap();
        let mut lines = Vec::new();
        while lines.len() < 2 {
            let line = wire.next().await.unwrap();
            if line.line().contains("\"id\":") {
                lines.push(line);
            }
        }
        assert_eq!(lines[0].direction(), Direction::ToServer);
        assert!(lines[0].line().contains(r#""method":"thread/loaded/list""#));
        assert_eq!(lines[1].direction(), Direction::FromServer);
        assert!(lines[1].line().contains("\"result\""));
        assert!(lines[0].number() < lines[1].number());
        client.shutdown().await;
        while wire.next().await.is_some() {}
    })
    .await;
}

#[tokio::test]
async fn a_wire_that_nobody_reads_stops_the_reading_and_loses_nothing() {
    within(30, async {
        let (client, mut server) = connected().await;
        let mut wire = client.wire();
        let mut flood = tokio::spawn(async move {
            for n in 0..20_000 {
                let line = format!("{{\"method\":\"m\",\"params\":{{\"n\":{n}}}}}\n");
                server.write(line.as_bytes()).await;
            }
            server
        });
        // The flood cannot get through while the wire is full.
        let stuck = tokio::time::timeout(Duration::from_millis(300), &mut flood).await;
        assert!(stuck.is_err(), "the reader went on");
        for n in 0..20_000 {
            let line = wire.next().await.unwrap();
            assert_eq!(
                line.line(),
                format!("{{\"method\":\"m\",\"params\":{{\"n\":{n}}}}}")
            );
        }
        flood.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_dropped_wire_lets_the_reading_go_on() {
    within(30, async {
        let (client, mut server) = connected().await;
        let wire = client.wire();
        let mut last = client.events(Filter::all().method("last"));
        let flood = tokio::spawn(async move {
            for _ in 0..20_000 {
                server.say(b"{\"method\":\"m\"}").await;
            }
            server.say(b"{\"method\":\"last\"}").await;
            server
        });
        let early = tokio::time::timeout(Duration::from_millis(300), last.next()).await;
        assert!(early.is_err(), "the reader did not wait for the wire");
        drop(wire);
        assert_eq!(last.next().await.unwrap().unwrap().method(), "last");
        flood.await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wire_that_is_dropped_while_lines_are_written_blocks_nobody() {
    let _watched = watchdog(100, "wires that come and go");
    within(90, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
        let talk = tokio::spawn(async move {
            loop {
                for _ in 0..50 {
                    server.delta("T", "U", "m", "abc");
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        let wires = tokio::spawn({
            let client = client.clone();
            async move {
                for _ in 0..500 {
                    let mut wire = client.wire();
                    wire.next().await.unwrap();
                }
            }
        });
        while !wires.is_finished() {
            let loaded = client.request(ThreadLoadedListParams::default());
            loaded.await.unwrap();
        }
        wires.await.unwrap();
        talk.abort();
        // The end also reaches wires that are being dropped.
        let wires: Vec<_> = (0..100).map(|_| client.wire()).collect();
        let dropping = tokio::task::spawn_blocking(move || drop(wires));
        client.shutdown().await;
        dropping.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_wire_that_nobody_reads_holds_no_more_of_the_requests_either() {
    const BIG: usize = 100 * 1024;
    within(60, async {
        let (client, server) = FakeServer::connect(CasClient::builder().in_flight(1_000))
            .await
            .unwrap();
        let mut wire = client.wire();
        let text = "x".repeat(BIG);
        let params = json!({"text": text});
        let requests = join_all((0..1_000).map(|_| {
            let call = client.call::<Value>("never", &params);
            tokio::time::timeout(Duration::from_millis(300), call)
        }));
        assert!(requests.await.iter().all(Result::is_err), "given up");
        // A request that waits says what for.
        let late = client
            .request(ThreadLoadedListParams::default())
            .timeout(Duration::from_millis(10))
            .await
            .unwrap_err();
        assert!(
            matches!(&late, Error::NotSent { reason, .. } if reason.contains("`wire()`")),
            "{late:?}"
        );
        let sent = server.calls("never");
        let mut bytes = 0;
        for _ in 0..sent {
            bytes += wire.next().await.unwrap().line().len();
        }
        assert!(bytes < 16 * 1024 * 1024 + 2 * BIG, "{bytes} of {sent}");
        assert!(sent > 100, "{sent}");
        // With room again, everything continues.
        server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
        client
            .request(ThreadLoadedListParams::default())
            .await
            .unwrap();
        assert!(wire.next().await.is_some());
    })
    .await;
}

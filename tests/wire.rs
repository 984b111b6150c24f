//! The lossless wire, over an in-memory pipe and against the real codex.

mod common;

use std::time::Duration;

use cas_sdk::{CasClient, Direction, Filter, protocol::ThreadLoadedListParams};
use common::{Rig, within};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

/// A client and the pipe that plays its server, small so that it fills.
async fn connected() -> (CasClient, BufReader<DuplexStream>) {
    let (near, far) = tokio::io::duplex(4 * 1024);
    let (read, write) = tokio::io::split(near);
    let serve = tokio::spawn(async move {
        let mut far = BufReader::new(far);
        far.read_line(&mut String::new()).await.unwrap();
        far.write_all(b"{\"id\":1,\"result\":{}}\n").await.unwrap();
        far.read_line(&mut String::new()).await.unwrap();
        far
    });
    let client = CasClient::builder().connect(read, write).await.unwrap();
    (client, serve.await.unwrap())
}

#[tokio::test]
async fn a_wire_has_both_directions_in_order_and_to_the_letter() {
    let Some(rig) = Rig::new().await else { return };
    within(30, async {
        let client = rig.client().await;
        let mut wire = client.wire();
        client
            .request(ThreadLoadedListParams::default())
            .await
            .unwrap();
        let mut lines = Vec::new();
        while lines.len() < 2 {
            let line = wire.next().await.unwrap();
            if line.text().contains("\"id\":") {
                lines.push(line);
            }
        }
        assert_eq!(lines[0].direction(), Direction::ToServer);
        assert!(lines[0].text().contains(r#""method":"thread/loaded/list""#));
        assert_eq!(lines[1].direction(), Direction::FromServer);
        assert!(lines[1].text().contains("\"result\""));
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
                server.write_all(line.as_bytes()).await.unwrap();
            }
            server
        });
        // The flood can't get through while the wire holds all it may.
        let stuck = tokio::time::timeout(Duration::from_millis(300), &mut flood).await;
        assert!(stuck.is_err(), "the reader went on");
        for n in 0..20_000 {
            let line = wire.next().await.unwrap();
            assert_eq!(
                line.text(),
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
                server.write_all(b"{\"method\":\"m\"}\n").await.unwrap();
            }
            server.write_all(b"{\"method\":\"last\"}\n").await.unwrap();
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

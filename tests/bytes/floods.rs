//! Slow readers: losses are reported, vital events are kept, and queues stay bounded.

use cas_sdk::{
    CasClient, Error, Filter, TurnEvent, protocol::ThreadStartParams, testing::FakeServer,
};
use serde_json::json;

use crate::{RawServer, common::within, next};

/// Vital events: errors and the end of something.
const VITAL: [&str; 6] = [
    "turn/completed",
    "item/completed",
    "thread/closed",
    "error",
    "serverRequest/resolved",
    "process/exited",
];

#[tokio::test]
async fn a_flood_keeps_vital_events_and_counts_lost_ones_in_their_place() {
    within(60, async {
        let (client, mut peer) =
            RawServer::connect(CasClient::builder().event_queue(100, 1_000_000)).await;
        let mut all = client.events(Filter::all());
        let mut narrow = client.events(Filter::all().method("error"));
        let (mut sent, mut vital) = (0_u64, Vec::new());
        for round in 0..90 {
            for n in 0..200 {
                peer.say(
                    format!(r#"{{"method":"item/agentMessage/delta","params":{{"n":{n}}}}}"#)
                        .as_bytes(),
                )
                .await;
            }
            let method = VITAL[round % VITAL.len()];
            let line = format!(
                r#"{{"method":"{method}","params":{{"threadId":"t","turnId":"u","n":{round}}}}}"#
            );
            peer.say(line.as_bytes()).await;
            sent += 201;
            vital.push(line);
        }
        peer.say(br#"{"id":0,"method":"m"}"#).await;
        // The response means that everything before it has been read.
        peer.hear().await;
        drop(peer);
        let (mut got, mut skipped, mut kept, mut last) = (0_u64, 0, Vec::new(), 0);
        loop {
            match all.next().await.unwrap() {
                Ok(event) => {
                    assert!(event.seq() > last);
                    last = event.seq();
                    got += 1;
                    if VITAL.contains(&event.method()) {
                        kept.push(event.line().to_owned());
                    }
                }
                Err(Error::Lagged { skipped: n }) => skipped += n,
                Err(Error::Closed(_)) => break,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(kept, vital);
        assert_eq!(got + skipped, sent + 1, "{got} and {skipped}");
        assert!(skipped >= 90 * 200 - 100, "{skipped}");
        // A narrow subscription loses nothing.
        for _ in 0..15 {
            assert_eq!(next(&mut narrow).await.method(), "error");
        }
        assert!(matches!(narrow.next().await, Some(Err(Error::Closed(_)))));
    })
    .await;
}

#[tokio::test]
async fn a_flood_that_nobody_reads_delays_no_request_of_the_server() {
    within(60, async {
        let (client, mut peer) =
            RawServer::connect(CasClient::builder().event_queue(10, 10_000)).await;
        let _unread: Vec<_> = (0..4).map(|_| client.events(Filter::all())).collect();
        for id in 0..2_000 {
            for _ in 0..20 {
                peer.say(br#"{"method":"x","params":{}}"#).await;
            }
            peer.say(format!(r#"{{"id":{id},"method":"m"}}"#).as_bytes())
                .await;
            assert!(peer.hear().await.starts_with(&format!("{{\"id\":{id},")));
        }
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn requests_of_the_server_are_events_that_a_flood_does_not_push_out() {
    within(60, async {
        let (client, mut peer) =
            RawServer::connect(CasClient::builder().event_queue(100, 1_000_000)).await;
        let mut events = client.events(Filter::all());
        for id in 0..100 {
            peer.say(format!(r#"{{"id":{id},"method":"m"}}"#).as_bytes())
                .await;
            for _ in 0..100 {
                peer.say(br#"{"method":"x"}"#).await;
            }
            peer.hear().await;
        }
        peer.is_well(&client).await;
        drop(peer);
        let mut requests = 0;
        while let Some(Ok(_) | Err(Error::Lagged { .. })) = {
            let event = events.next().await;
            if let Some(Ok(event)) = &event {
                requests += usize::from(event.method() == "m");
            }
            event
        } {}
        assert_eq!(requests, 100);
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_is_read_late_has_its_end_and_counts_missing_events() {
    within(60, async {
        let builder = CasClient::builder().event_queue(50, 1_000_000);
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        server.opens("t");
        server.starts("u");
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let mut turn = thread.ask("go").await.unwrap();
        server.turn_started("t", "u");
        for _ in 0..20_000 {
            server.delta("t", "u", "m", "x");
        }
        server.item_completed("t", "u", json!({"type": "agentMessage", "id": "m", "text": "whole"}));
        server.turn_completed("t", "u", "completed");
        let items = json!({"data": [{"turnId": "u", "item": {"type": "agentMessage", "id": "m", "text": "whole"}}], "nextCursor": null});
        server.answer("thread/items/list", move |_| Ok(items.clone()));
        server.settled(&client).await;
        let (mut lagged, mut texts, mut outcome) = (0, 0, None);
        while let Some(event) = turn.next().await {
            match event.unwrap() {
                TurnEvent::Lagged(n) => lagged += n,
                TurnEvent::Text { .. } => texts += 1,
                TurnEvent::Completed(done) => outcome = Some(done),
                _ => {}
            }
        }
        assert_eq!(outcome.unwrap().text, "whole");
        assert_eq!(lagged + texts, 20_000);
    })
    .await;
}

#[tokio::test]
async fn a_wire_holds_no_more_than_its_bytes_either() {
    within(60, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut wire = client.wire();
        let line = format!(r#"{{"method":"m","params":"{}"}}"#, "x".repeat(1024 * 1024));
        let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let flood = tokio::spawn({
            let (written, line) = (written.clone(), line.clone());
            async move {
                for _ in 0..64 {
                    peer.say(line.as_bytes()).await;
                    written.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                peer
            }
        });
        // It pauses with 16 MiB in the wire and a full pipe.
        let mut last = usize::MAX;
        crate::common::eventually("the reader rests", || {
            let now = written.load(std::sync::atomic::Ordering::Relaxed);
            let rests = now == last && now >= 16;
            last = now;
            rests
        })
        .await;
        assert!(last < 24, "{last}");
        for _ in 0..64 {
            assert!(wire.next().await.unwrap().line() == line);
        }
        let mut peer = flood.await.unwrap();
        drop(wire);
        peer.is_well(&client).await;
    })
    .await;
}

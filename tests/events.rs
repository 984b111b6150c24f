//! The delivery of events, from the view of a user of the streams.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use cas_sdk::{
    CasClient, Error, Event, Events, Filter,
    error::CloseCause,
    events::MessageKind,
    protocol::{AgentMessageDeltaNotification, NotificationMethod as Method, ServerNotification},
    testing::FakeServer,
};
use common::within;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

const T: &str = "thr-1";
const U: &str = "turn-1";

async fn rig() -> (CasClient, FakeServer) {
    FakeServer::connect(CasClient::builder()).await.unwrap()
}

async fn next(events: &mut Events) -> Event {
    events.next().await.unwrap().unwrap()
}

fn text(event: &Event) -> String {
    let delta = event.get::<AgentMessageDeltaNotification>();
    delta.unwrap().unwrap().delta
}

#[tokio::test]
async fn a_settled_client_has_handled_everything_and_the_record_does_not_show_how() {
    within(20, async {
        let (client, server) = rig().await;
        let mut events = client.events(Filter::all());
        for n in 0..1_000 {
            server.delta(T, U, "m", &n.to_string());
        }
        server.settled(&client).await;
        for n in 0..1_000 {
            let event = events.next().now_or_never().expect("it is queued");
            assert_eq!(text(&event.unwrap().unwrap()), n.to_string());
        }
        let record = server.record();
        assert!(
            record.iter().all(|(m, _)| m.starts_with("initialize")),
            "{record:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn events_come_in_the_order_of_the_server_vital_or_not() {
    within(20, async {
        let (client, server) = rig().await;
        let mut events = client.events(Filter::all());
        for n in 0..100 {
            server.delta(T, U, "m", &n.to_string());
            let item = json!({"type": "agentMessage", "id": format!("m-{n}"), "text": "text"});
            server.item_completed(T, U, item);
        }
        server.turn_completed(T, U, "completed");
        let (mut seq, mut deltas) = (0, 0);
        loop {
            let event = next(&mut events).await;
            assert!(event.seq() > seq);
            seq = event.seq();
            match event.method() {
                "item/agentMessage/delta" => {
                    assert_eq!(text(&event), deltas.to_string());
                    deltas += 1;
                }
                "item/completed" => {
                    assert_eq!(event.item_id(), Some(format!("m-{}", deltas - 1).as_str()));
                }
                "turn/completed" => break,
                _ => {}
            }
        }
        assert_eq!(deltas, 100);
    })
    .await;
}

#[tokio::test]
async fn a_full_stream_counts_missing_events_in_their_place_and_keeps_vital_ones() {
    within(20, async {
        let builder = CasClient::builder().event_queue(8, 1_000_000);
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        let mut events = client.events(Filter::all());
        server.delta(T, U, "m", "first");
        server.settled(&client).await;
        assert_eq!(text(&next(&mut events).await), "first");
        server.turn_started(T, U);
        for n in 0..1_000 {
            server.delta(T, U, "m", &n.to_string());
        }
        server.turn_completed(T, U, "completed");
        server.settled(&client).await;
        assert_eq!(next(&mut events).await.method(), "turn/started");
        match events.next().await {
            Some(Err(Error::Lagged { skipped })) => assert_eq!(skipped, 992),
            other => panic!("{other:?}"),
        }
        for n in 992..1_000 {
            assert_eq!(text(&next(&mut events).await), n.to_string());
        }
        assert_eq!(next(&mut events).await.method(), "turn/completed");
    })
    .await;
}

#[tokio::test]
async fn a_stream_nobody_reads_blocks_nobody_and_costs_others_nothing() {
    within(20, async {
        let builder = CasClient::builder().event_queue(16, 1_000_000);
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        let idle = client.events(Filter::all());
        let mut read = client.events(Filter::all().method(Method::ItemAgentMessageDelta));
        for n in 0..100 {
            for m in 0..10 {
                server.delta(T, U, "m", &format!("{n}.{m}"));
            }
            for m in 0..10 {
                assert_eq!(text(&next(&mut read).await), format!("{n}.{m}"));
            }
        }
        drop(idle);
    })
    .await;
}

#[tokio::test]
async fn a_subscription_made_before_a_request_gets_its_events_even_before_the_answer() {
    within(20, async {
        let (client, server) = rig().await;
        server.answer("go", {
            let server = server.clone();
            move |_| {
                server.delta(T, U, "m", "early");
                Ok(json!({}))
            }
        });
        let mut events = client.events(Filter::all().thread(T));
        client.call::<Value>("go", &json!({})).await.unwrap();
        let early = futures_util::FutureExt::now_or_never(events.next());
        assert_eq!(text(&early.unwrap().unwrap().unwrap()), "early");
    })
    .await;
}

#[tokio::test]
async fn a_late_subscriber_has_what_comes_after_it_and_nothing_else() {
    within(20, async {
        let (client, server) = rig().await;
        server.delta(T, U, "m", "before");
        server.settled(&client).await;
        let mut late = client.events(Filter::all());
        server.delta(T, U, "m", "after");
        assert_eq!(text(&next(&mut late).await), "after");
    })
    .await;
}

#[tokio::test]
async fn events_before_the_end_are_delivered_and_then_the_end_once() {
    within(20, async {
        let (client, server) = rig().await;
        let mut events = client.events(Filter::all());
        for n in 0..1_000 {
            server.delta(T, U, "m", &n.to_string());
        }
        server.die();
        for n in 0..1_000 {
            assert_eq!(text(&next(&mut events).await), n.to_string());
        }
        match events.next().await {
            Some(Err(Error::Closed(reason))) => assert_eq!(reason.cause, CloseCause::Eof),
            other => panic!("{other:?}"),
        }
        assert!(events.next().await.is_none());
        // A subscription after the end gets the same error.
        let mut late = client.events(Filter::all());
        assert!(matches!(late.next().await, Some(Err(Error::Closed(_)))));
        assert!(late.next().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_that_was_asked_for_just_ends_the_streams() {
    within(20, async {
        let (client, server) = rig().await;
        let mut events = client.events(Filter::all());
        server.delta(T, U, "m", "last");
        server.settled(&client).await;
        client.shutdown().await;
        assert_eq!(text(&next(&mut events).await), "last");
        assert!(events.next().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_thousand_streams_have_each_what_they_asked_for() {
    within(60, async {
        let (client, server) = rig().await;
        let thread = |n: usize| format!("thr-{n}");
        let mut all: Vec<_> = (0..1_000)
            .map(|n| client.events(Filter::all().thread(thread(n))))
            .collect();
        for round in 0..3 {
            for n in 0..1_000 {
                server.delta(&thread(n), U, "m", &format!("{n}.{round}"));
            }
        }
        server.settled(&client).await;
        for (n, events) in all.iter_mut().enumerate() {
            for round in 0..3 {
                assert_eq!(text(&next(events).await), format!("{n}.{round}"));
            }
            assert!(futures_util::FutureExt::now_or_never(events.next()).is_none());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_in_a_race_see_one_and_the_same_decoded_value() {
    within(60, async {
        let (client, server) = rig().await;
        let readers: Vec<_> = (0..4).map(|_| client.events(Filter::all())).collect();
        for n in 0..2_000 {
            server.delta(T, U, "m", &n.to_string());
        }
        let tasks: Vec<_> = readers
            .into_iter()
            .map(|mut events| {
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    for n in 0..2_000 {
                        let event = next(&mut events).await;
                        let decoded = event.notification().unwrap();
                        let ServerNotification::ItemAgentMessageDelta(delta) = decoded else {
                            panic!("{decoded:?}");
                        };
                        assert_eq!(delta.delta, n.to_string());
                        let place = std::ptr::from_ref(decoded) as usize;
                        seen.push((event, place)); // Kept, so that no place is reused.
                    }
                    seen.into_iter().map(|(_, place)| place).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut places = Vec::new();
        for task in tasks {
            places.push(task.await.unwrap());
        }
        assert!(places.iter().all(|of| *of == places[0]));
    })
    .await;
}

#[tokio::test]
async fn a_filter_chooses_by_kind_type_item_prefix_and_combination() {
    within(20, async {
        let (client, server) = rig().await;
        let methods = |events: &mut Events| {
            let mut got = Vec::new();
            while let Some(Some(Ok(event))) = futures_util::FutureExt::now_or_never(events.next()) {
                got.push((event.method().to_owned(), event.item_id().map(str::to_owned)));
            }
            got
        };
        let mut requests = client.events(Filter::all().kind(MessageKind::Request));
        let mut commands = client.events(Filter::all().item_type("commandExecution"));
        let mut item = client.events(Filter::all().item("m-1"));
        let mut turns = client.events(Filter::all().method("turn/*"));
        let mut either = client.events(
            Filter::all()
                .method(Method::TurnStarted)
                .or(Filter::all().item("m-2").and(Filter::all().method("item/completed"))),
        );
        let mut odd = client.events(Filter::all().kind(MessageKind::Malformed));
        server.turn_started(T, U);
        server.delta(T, U, "m-1", "x");
        server.message(T, U, "m-2", "y");
        server.line("not JSON");
        server.call(7, "no/such", json!({"threadId": T}));
        server.item_started(T, U, json!({"type": "commandExecution", "id": "c", "command": "ls", "cwd": "/", "status": "inProgress", "commandActions": []}));
        server.turn_completed(T, U, "completed");
        server.settled(&client).await;
        let m = |method: &str, item: Option<&str>| (method.to_owned(), item.map(str::to_owned));
        assert_eq!(methods(&mut requests), [m("no/such", None)]);
        assert_eq!(methods(&mut commands), [m("item/started", Some("c"))]);
        assert_eq!(methods(&mut item), [m("item/agentMessage/delta", Some("m-1"))]);
        assert_eq!(methods(&mut turns), [m("turn/started", None), m("turn/completed", None)]);
        assert_eq!(methods(&mut either), [m("turn/started", None), m("item/completed", Some("m-2"))]);
        assert_eq!(methods(&mut odd), [m("", None)]);
    })
    .await;
}

#[tokio::test]
async fn methods_are_opted_out_of_by_their_constants() {
    within(20, async {
        let builder = CasClient::builder()
            .opt_out_notification_methods([Method::TurnDiffUpdated, Method::ItemReasoningTextDelta])
            .opt_out_notification_methods(["some/new", "turn/diff/updated"]);
        let (_client, server) = FakeServer::connect(builder).await.unwrap();
        let (method, params) = server.record().swap_remove(0);
        assert_eq!(method, "initialize");
        assert_eq!(
            params["capabilities"]["optOutNotificationMethods"],
            json!(["turn/diff/updated", "item/reasoning/textDelta", "some/new"])
        );
        assert!(
            Method::ALL
                .iter()
                .is_sorted_by_key(|method| method.as_str())
        );
    })
    .await;
}

/// A stream that is always ready must not starve other tasks.
#[tokio::test]
async fn a_reader_gives_way_though_there_is_always_more_to_read() {
    within(20, async {
        let builder = CasClient::builder().event_queue(1_000_000, usize::MAX);
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        let mut events = client.events(Filter::all());
        for _ in 0..100_000 {
            server.line(r#"{"method":"m"}"#);
        }
        server.settled(&client).await;
        let turns = std::sync::Arc::<AtomicUsize>::default();
        let other = tokio::spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..100_000 {
            next(&mut events).await;
        }
        other.abort();
        assert!(turns.load(Ordering::Relaxed) > 1);
    })
    .await;
}

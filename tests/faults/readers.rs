//! Several readers of one turn, and one that is too slow.

use cas_sdk::{CasClient, TurnEvent, protocol::ThreadItem};
use serde_json::json;

use crate::common::within;
use crate::{T, U, message, on_record, read, rig_with, running};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_reader_who_comes_while_another_one_reads_misses_nothing_in_between() {
    const PIECES: usize = 20_000;
    within(60, async {
        let (_client, server, first) = running().await;
        let pieces: Vec<String> = (0..PIECES).map(|n| format!("{n} ")).collect();
        let all = pieces.concat();
        let control = first.control();
        let first = tokio::spawn(read(first));
        let others = tokio::spawn({
            let all = all.clone();
            async move {
                let mut met = 0;
                loop {
                    // What has been, joined, and the piece after it.
                    let mut other = control.follow();
                    let mut texts = Vec::new();
                    while texts.len() < 2 {
                        match other.next().await.unwrap().unwrap() {
                            TurnEvent::Text { delta: text, .. } => texts.push(text),
                            TurnEvent::Completed(_) => return met,
                            _ => {}
                        }
                    }
                    let text = texts.concat();
                    let tail = text.len().saturating_sub(20);
                    assert!(all.starts_with(&text), "{met}: … {}", &text[tail..]);
                    met += 1;
                }
            }
        });
        for n in 0..PIECES {
            server.delta(T, U, "m", &format!("{n} "));
            if n % 100 == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        server.item_completed(T, U, message("m", &all));
        server.turn_completed(T, U, "completed");
        assert_eq!(first.await.unwrap(), (all.clone(), all));
        assert!(
            others.await.unwrap() > 0,
            "no reader came while the turn ran"
        );
    })
    .await;
}

#[tokio::test]
async fn every_reader_has_the_whole_turn_whenever_it_came() {
    within(20, async {
        let (_client, server, mut first) = running().await;
        let before = first.follow();
        server.item_started(
            T,
            U,
            json!({"type": "reasoning", "id": "r", "summary": [], "content": []}),
        );
        server.notify(
            "item/reasoning/summaryTextDelta",
            json!({"threadId": T, "turnId": U, "itemId": "r", "delta": "hmm", "summaryIndex": 0}),
        );
        server.delta(T, U, "m", "one ");
        server.delta(T, U, "m", "two ");
        // The first has read some of it, some is still in its queue.
        while !matches!(first.next().await, Some(Ok(TurnEvent::Text { .. }))) {}
        let middle = first.follow();
        server.delta(T, U, "m", "three");
        server.item_completed(T, U, message("m", "one two three"));
        let late = first.control().follow();
        server.turn_completed(T, U, "completed");
        let after = middle.follow();
        for reader in [before, middle, late, after] {
            let (text, outcome) = read(reader).await;
            assert_eq!(
                (text.as_str(), outcome.as_str()),
                ("one two three", "one two three")
            );
        }
        let mut over = first.follow();
        assert_eq!(first.finish().await.unwrap().items.len(), 2);
        let mut kinds = Vec::new();
        while let Some(event) = over.next().await {
            kinds.push(match event.unwrap() {
                TurnEvent::Started => "started".to_owned(),
                TurnEvent::ItemStarted(_) => "item".to_owned(),
                TurnEvent::Reasoning { delta: text, .. } | TurnEvent::Text { delta: text, .. } => {
                    text
                }
                TurnEvent::ItemCompleted(item) => {
                    assert!(matches!(*item, ThreadItem::AgentMessage(_)));
                    "completed".to_owned()
                }
                TurnEvent::Completed(_) => "end".to_owned(),
                _ => continue,
            });
        }
        assert_eq!(kinds[..4], ["started", "item", "hmm", "item"]);
        assert_eq!(kinds.last().map(String::as_str), Some("end"));
        assert_eq!(server.calls("thread/items/list"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_turn_goes_on_until_its_last_reader_is_dropped() {
    within(20, async {
        let (client, server, first) = running().await;
        let second = first.follow();
        drop(first);
        server.answer("ping", |_| Ok(json!({})));
        client
            .call::<serde_json::Value>("ping", &json!({}))
            .await
            .unwrap();
        assert_eq!(server.calls("turn/interrupt"), 0);
        drop(second);
        drop(server.next("turn/interrupt").await);
    })
    .await;
}

#[tokio::test]
async fn a_detached_turn_can_be_read_again_from_its_control() {
    within(20, async {
        let (_client, server, turn) = running().await;
        server.message(T, U, "m", "unheard");
        let control = turn.detach();
        let reader = control.follow();
        on_record(
            &server,
            "completed",
            &[message("m", "unheard"), message("n", "heard")],
        );
        server.message(T, U, "n", "heard");
        server.turn_completed(T, U, "completed");
        let outcome = reader.finish().await.unwrap();
        assert_eq!((outcome.items.len(), outcome.recovered), (2, true));

        // And after its end, too.
        let outcome = control.follow().finish().await.unwrap();
        assert_eq!((outcome.items.len(), outcome.text.as_str()), (2, "heard"));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_and_its_outcome_is_whole_all_the_same() {
    within(20, async {
        let builder = CasClient::builder().event_queue(16, 1_000_000);
        let (_client, server, thread) = rig_with(builder).await;
        server.starts(U);
        let turn = thread.ask("go").await.unwrap();
        server.turn_started(T, U);
        let mut record = Vec::new();
        for n in 0..100 {
            let id = format!("m-{n}");
            server.message(T, U, &id, &format!("text {n}"));
            record.push(message(&id, &format!("text {n}")));
        }
        server.delta(T, U, "cut", "cut o");
        server.turn_completed(T, U, "interrupted");
        on_record(&server, "interrupted", &record);
        let mut turn = turn;
        let (mut lagged, mut outcome) = (0, None);
        while let Some(event) = turn.next().await {
            match event.unwrap() {
                TurnEvent::Lagged(n) => lagged += n,
                TurnEvent::Completed(done) => outcome = Some(done),
                _ => {}
            }
        }
        let outcome = outcome.unwrap();
        assert!(lagged > 200, "{lagged}");
        assert!(outcome.recovered);
        let texts: Vec<_> = outcome
            .items
            .iter()
            .map(|i| match &i.item {
                ThreadItem::AgentMessage(m) => m.text.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let mut expected: Vec<_> = (0..100).map(|n| format!("text {n}")).collect();
        expected.push("cut o".to_owned());
        assert_eq!(texts, expected);
        assert!(!outcome.items.last().unwrap().completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_without_a_readable_record_has_the_outcome_collected_so_far() {
    within(120, async {
        let builder = CasClient::builder().event_queue(4, 1_000_000);
        let (_client, server, thread) = rig_with(builder).await;
        server.starts(U);
        let turn = thread.ask("go").await.unwrap();
        for n in 0..10 {
            server.message(T, U, &format!("m-{n}"), &format!("text {n}"));
        }
        server.turn_completed(T, U, "completed");
        // `thread/items/list` is never answered.
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.text, "text 9");
        assert!(!outcome.recovered);
    })
    .await;
}

//! Requests in both directions: round trips, many at once, and those of the server during a flood.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cas_sdk::{CasClient, Filter, events::MessageKind};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream,
};

use crate::rig::{Case, connected, one_thread, two_threads};

/// Answers every request. Requests of one read are answered in one write.
async fn answer(mut far: DuplexStream) {
    let (mut input, mut output) = (vec![0; 64 * 1024], Vec::new());
    let mut rest = Vec::new();
    loop {
        let Ok(n @ 1..) = far.read(&mut input).await else {
            return;
        };
        rest.extend_from_slice(&input[..n]);
        let mut done = 0;
        while let Some(end) = memchr::memchr(b'\n', &rest[done..]) {
            let line = &rest[done..done + end];
            let id: Vec<u8> = line[6..]
                .iter()
                .copied()
                .take_while(u8::is_ascii_digit)
                .collect();
            output.extend_from_slice(b"{\"id\":");
            output.extend_from_slice(&id);
            output.extend_from_slice(b",\"result\":{\"data\":[],\"nextCursor\":null}}\n");
            done += end + 1;
        }
        rest.drain(..done);
        if far.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}

async fn ask(client: &CasClient) {
    let params = json!({});
    let answer = client.call::<Value>("thread/loaded/list", &params);
    answer.await.expect("an answer");
}

pub(crate) fn round_trip() -> Case {
    let runtime = one_thread();
    let client = runtime.block_on(async {
        let (client, far) = connected().await;
        tokio::spawn(answer(far));
        client
    });
    Case::new(
        "request round trip, one after the other",
        1_000,
        move || {
            runtime.block_on(async {
                for _ in 0..1_000 {
                    ask(&client).await;
                }
            });
        },
    )
}

pub(crate) fn at_once() -> Case {
    let runtime = two_threads();
    let client = runtime.block_on(async {
        let (client, far) = connected().await;
        tokio::spawn(answer(far));
        client
    });
    Case::new("10,000 requests at once, 64 in flight", 10_000, move || {
        let client = client.clone();
        let all = runtime.spawn(async move {
            futures_util::future::join_all((0..10_000).map(|_| ask(&client))).await;
        });
        runtime.block_on(all).expect("all are answered");
    })
}

/// The median and p99 of the time to answer approvals during a flood that is read and decoded.
pub(crate) fn under_flood(flood: &[u8], asks: usize) -> (Duration, Duration) {
    let flood = flood.to_vec();
    two_threads().block_on(async move {
        let (client, far) = connected().await;
        let mut events = client.events(Filter::all().kind(MessageKind::Notification));
        let reader = tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                drop(std::hint::black_box(event.notification()));
            }
        });
        let (read, mut write) = tokio::io::split(far);
        let asked = Arc::<Mutex<HashMap<usize, Instant>>>::default();
        let answers = tokio::spawn({
            let asked = asked.clone();
            async move {
                let mut took = Vec::new();
                let mut lines = BufReader::new(read).lines();
                while took.len() < asks {
                    let line = lines.next_line().await.expect("a line").expect("an answer");
                    let answer: Value = serde_json::from_str(&line).expect("JSON");
                    let id = answer["id"].as_u64().and_then(|id| usize::try_from(id).ok());
                    let at = id.and_then(|id| asked.lock().expect("a lock").remove(&id));
                    took.extend(at.map(|at| at.elapsed()));
                }
                took
            }
        });
        let mut chunks = flood.split_inclusive(|b| *b == b'\n').collect::<Vec<_>>();
        chunks.truncate(chunks.len() / 500 * 500);
        for (id, lines) in chunks.chunks(500).cycle().take(asks).enumerate() {
            let mut chunk = lines.concat();
            let params = json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 0, "command": "ls"});
            let ask = json!({"id": id, "method": "item/commandExecution/requestApproval", "params": params});
            chunk.extend_from_slice(format!("{ask}\n").as_bytes());
            asked.lock().expect("a lock").insert(id, Instant::now());
            write.write_all(&chunk).await.expect("written");
        }
        let mut took = answers.await.expect("all are answered");
        client.shutdown().await;
        reader.await.expect("a reader");
        took.sort_unstable();
        (took[took.len() / 2], took[took.len() * 99 / 100])
    })
}

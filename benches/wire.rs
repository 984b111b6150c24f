//! From bytes to delivered events, through an in-memory pipe, beside what no client can do without.

#[path = "support/mix.rs"]
mod mix;

use std::{borrow::Cow, hint::black_box, time::Duration};

use cas_sdk::{CasClient, Filter, protocol::ServerNotification};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

const LINES: usize = 20_000;

fn traffic() -> Vec<u8> {
    let period = mix::period();
    period
        .iter()
        .cycle()
        .take(LINES)
        .flat_map(|l| l.bytes())
        .collect()
}

/// A client and the pipe that plays its server.
async fn connected() -> (CasClient, DuplexStream) {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let (read, write) = tokio::io::split(near);
    let serve = tokio::spawn(async move {
        let mut far = BufReader::new(far);
        far.read_line(&mut String::new()).await.expect("initialize");
        far.write_all(b"{\"id\":1,\"result\":{\"userAgent\":\"bench/0\"}}\n")
            .await
            .expect("its answer");
        far.read_line(&mut String::new())
            .await
            .expect("initialized");
        far.into_inner()
    });
    let client = CasClient::builder()
        .connect(read, write)
        .await
        .expect("connects");
    (client, serve.await.expect("a server"))
}

fn floor(bytes: &[u8]) -> usize {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        method: Cow<'a, str>,
        #[serde(borrow)]
        params: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "decoded for the cost of it")]
    struct Delta<'a> {
        #[serde(borrow)]
        thread_id: Cow<'a, str>,
        #[serde(borrow)]
        turn_id: Cow<'a, str>,
        #[serde(borrow)]
        item_id: Cow<'a, str>,
        #[serde(borrow)]
        #[serde(rename = "delta")]
        text: Cow<'a, str>,
    }
    let mut length = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let envelope: Envelope<'_> = serde_json::from_slice(line).expect("a message");
        if envelope.method == "item/agentMessage/delta" {
            let delta: Delta<'_> = serde_json::from_str(envelope.params.get()).expect("a delta");
            length += delta.text.len();
        }
    }
    length
}

fn wire(c: &mut Criterion) {
    let bytes = traffic();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("wire");
    group
        .throughput(Throughput::Elements(LINES as u64))
        .measurement_time(Duration::from_secs(5))
        .sample_size(20);

    group.bench_function("floor: count newlines", |b| {
        b.iter(|| memchr::memchr_iter(b'\n', black_box(&bytes)).count());
    });
    group.bench_function("floor: borrowed envelope and delta", |b| {
        b.iter(|| floor(black_box(&bytes)));
    });
    for (name, readers, decode) in [
        ("1 reader, raw", 1, false),
        ("1 reader, typed", 1, true),
        ("4 readers, typed", 4, true),
    ] {
        group.bench_function(name, |b| {
            let (client, mut server) = runtime.block_on(connected());
            let mut all: Vec<_> = (0..readers)
                .map(|_| client.events(Filter::all().thread(mix::THREAD)))
                .collect();
            b.iter(|| {
                runtime.block_on(async {
                    let write = async { server.write_all(&bytes).await.expect("written") };
                    let read = futures_util::future::join_all(all.iter_mut().map(async |events| {
                        for _ in 0..LINES {
                            let event = events.next().await.expect("an event").expect("none lost");
                            if decode
                                && let Ok(ServerNotification::ItemAgentMessageDelta(d)) =
                                    event.notification()
                            {
                                black_box(d.delta.len());
                            }
                        }
                    }));
                    tokio::join!(write, read)
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);

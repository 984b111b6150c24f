//! Measures the path from bytes to delivered events, requests and the proxy, beside a floor.
//!
//! `cargo bench --bench wire` first prints a table of ratios, each the least of interleaved runs,
//! then criterion's own figures. `cargo bench --bench wire -- table` prints the table alone.

#[path = "support/floors.rs"]
mod floors;
#[path = "support/mix.rs"]
mod mix;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/rig.rs"]
mod rig;

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Duration};

use cas_sdk::{
    Events, Filter,
    protocol::{NotificationMethod as Method, ServerNotification},
};
use criterion::Criterion;
use rig::{Case, connected, one_thread, two_threads};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt as _;

const LINES: usize = 20_000;
const SIZE: u32 = 20_000;
/// The events in the 2,000 lines of the traffic.
const PERIODS: u32 = 10;
const ROUNDS: usize = 15;

fn traffic() -> Arc<[u8]> {
    let period = mix::period();
    let lines = period.iter().cycle().take(LINES);
    lines.flat_map(|line| line.bytes()).collect()
}

/// The readers of a run.
struct Readers {
    name: &'static str,
    filters: Vec<Filter>,
    /// The number of events for each of them.
    events: usize,
    decode: bool,
    /// The number of further subscriptions that match nothing.
    others: usize,
    /// Whether the readers are separate tasks, on a runtime of two threads.
    spawned: bool,
}

impl Readers {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            filters: vec![Filter::all().thread(mix::THREAD)],
            events: LINES,
            decode: true,
            others: 0,
            spawned: false,
        }
    }

    fn case(self, bytes: &Arc<[u8]>) -> Case {
        let Self {
            name,
            filters,
            events,
            decode,
            others,
            spawned,
        } = self;
        let runtime = if spawned { two_threads() } else { one_thread() };
        let (client, mut server) = runtime.block_on(connected());
        let idle: Vec<_> = (0..others)
            .map(|n| client.events(Filter::all().thread(format!("other-{n}"))))
            .collect();
        let mut readers: Vec<_> = filters.into_iter().map(|f| client.events(f)).collect();
        let bytes = bytes.clone();
        Case::new(name, SIZE, move || {
            let all = std::mem::take(&mut readers);
            readers = runtime.block_on(async {
                let reads = all.into_iter().map(|reader| read(reader, events, decode));
                let write = async { server.write_all(&bytes).await.expect("written") };
                if spawned {
                    let tasks: Vec<_> = reads.map(tokio::spawn).collect();
                    write.await;
                    let ended = futures_util::future::join_all(tasks).await;
                    ended.into_iter().map(|r| r.expect("a reader")).collect()
                } else {
                    tokio::join!(write, futures_util::future::join_all(reads)).1
                }
            });
            black_box((&client, &idle));
        })
    }
}

async fn read(mut events: Events, count: usize, decode: bool) -> Events {
    for _ in 0..count {
        let event = events.next().await.expect("an event").expect("none lost");
        if decode && let Ok(ServerNotification::ItemAgentMessageDelta(d)) = event.notification() {
            black_box(d.delta.len());
        }
    }
    events
}

fn event_cases(bytes: &Arc<[u8]>) -> Vec<Case> {
    let all = Filter::all().thread(mix::THREAD);
    let usage = all.clone().method(Method::ThreadTokenUsageUpdated);
    [
        Readers {
            decode: false,
            ..Readers::new("1 reader, not decoded")
        },
        Readers::new("1 reader, typed"),
        Readers {
            spawned: true,
            ..Readers::new("1 reader, typed, in another task")
        },
        Readers {
            filters: vec![all.clone(); 4],
            ..Readers::new("4 readers, typed")
        },
        Readers {
            filters: vec![all; 4],
            spawned: true,
            ..Readers::new("4 readers, typed, in other tasks")
        },
        Readers {
            others: 15,
            ..Readers::new("1 reader, typed, of 16 subscriptions")
        },
        Readers {
            others: 255,
            ..Readers::new("1 reader, typed, of 256 subscriptions")
        },
        Readers {
            filters: vec![usage],
            events: LINES / 200,
            ..Readers::new("1 reader of one line in 200")
        },
    ]
    .into_iter()
    .map(|readers| readers.case(bytes))
    .collect()
}

fn floor_cases(bytes: &Arc<[u8]>) -> [Case; 2] {
    let (typed, newlines) = (bytes.clone(), bytes.clone());
    let text = |line: &[u8]| {
        let (_, delta) = floors::read(line).expect("a message");
        delta.map_or(0, |delta| delta.text.len())
    };
    [
        Case::new(
            "floor: borrowed envelope and typed delta",
            SIZE,
            move || {
                let lines = black_box(&typed).split_inclusive(|b| *b == b'\n');
                black_box(lines.map(text).sum::<usize>());
            },
        ),
        Case::new("floor: count newlines", SIZE, move || {
            black_box(memchr::memchr_iter(b'\n', black_box(&newlines)).count());
        }),
    ]
}

/// One real notification of each method, verbatim from the transcripts, since the order of keys
/// counts.
fn real_notifications() -> BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        dir: &'a str,
        /// A line that is not JSON has none.
        #[serde(borrow)]
        msg: Option<&'a RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct Message<'a> {
        id: Option<IgnoredAny>,
        method: Option<String>,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let mut found = BTreeMap::new();
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    for file in std::fs::read_dir(dir).expect("the transcripts") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        for line in text.lines() {
            let Line { dir, msg } = serde_json::from_str(line).expect("a line of a transcript");
            if dir == "s2c"
                && let Some(msg) = msg
                && let Ok(msg) = serde_json::from_str::<Message<'_>>(msg.get())
                && msg.id.is_none()
                && let (Some(method), Some(params)) = (msg.method, msg.params)
            {
                let params = params.get().to_owned();
                found.entry(method).or_insert(params);
            }
        }
    }
    found
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "app-server") {
        proxy::server().expect("an orchestrator");
        return;
    }
    let bytes = traffic();
    let [mut floor, mut newlines] = floor_cases(&bytes);
    let mut cases = event_cases(&bytes);
    let mut calls = [requests::round_trip(), requests::at_once()];
    let mut splice = proxy::splice(PERIODS);
    for _ in 0..ROUNDS {
        let measured = [&mut floor, &mut newlines, &mut splice].into_iter();
        measured
            .chain(&mut cases)
            .chain(&mut calls)
            .for_each(Case::measure);
    }
    println!(
        "least of {ROUNDS} interleaved runs; ns for each line or request, and the ratio to the floor\n"
    );
    println!(
        "{:<52} {:>9} {:>9} {:>8} {:>8}",
        "", "wall ns", "CPU ns", "× wall", "× CPU"
    );
    let rows = [&floor, &newlines].into_iter().chain(&cases).chain(&calls);
    rows.chain([&splice]).for_each(|case| case.row(&floor));
    let (median, p99) = (0..3)
        .map(|_| requests::under_flood(&bytes, 1_000))
        .min_by_key(|(_, p99)| *p99)
        .unwrap_or_default();
    println!("server request to answer in a saturating flood: median {median:?}, p99 {p99:?}");
    if args.iter().any(|arg| arg == "table" || arg == "--test") {
        return;
    }

    let mut criterion = Criterion::default()
        .configure_from_args()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10);
    let mut group = criterion.benchmark_group("wire");
    let measured = [&mut floor, &mut newlines, &mut splice].into_iter();
    for case in measured.chain(&mut cases).chain(&mut calls) {
        case.bench(&mut group);
    }
    group.finish();
    let mut group = criterion.benchmark_group("decode");
    group.measurement_time(Duration::from_millis(300));
    for (method, params) in real_notifications() {
        group.bench_function(&method, |b| {
            b.iter(|| ServerNotification::decode(black_box(&method), black_box(&params)));
        });
    }
    group.finish();
    criterion.final_summary();
}

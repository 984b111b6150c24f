//! An hour's traffic in a few minutes: ten million events, a hundred thousand requests, a thousand
//! processes; afterwards memory, files and processes are as they were.
//!
//! `cargo test --test soak -- --ignored --nocapture`; see docs/reliability.md for figures.

mod common;

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cas_sdk::{CasClient, Error, Filter};
use common::{eventually, raw::RawServer, within};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};

const EVENTS: u64 = 10_000_000;
const REQUESTS: u64 = 100_000;
const SPAWNS: usize = 1_000;

/// The resources that must not grow.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory_kib: usize,
    files: usize,
    threads: usize,
    children: usize,
}

impl Held {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let value = |key| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.unwrap().split_whitespace().next().unwrap();
            word.parse().unwrap()
        };
        Self {
            memory_kib: value("VmRSS:"),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: value("Threads:"),
            children: children(),
        }
    }
}

/// The children of this process, zombies included.
fn children() -> usize {
    let me = std::process::id().to_string();
    let stats = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let after = stat.rsplit(')').next().unwrap_or_default();
            after.split_whitespace().nth(1) == Some(&me)
        })
        .count()
}

/// The samples of a phase. The first is taken after the warm-up.
#[derive(Debug)]
struct Phase {
    name: &'static str,
    begun: Instant,
    samples: Vec<Held>,
}

impl Phase {
    fn begin(name: &'static str) -> Self {
        Self {
            name,
            begun: Instant::now(),
            samples: Vec::new(),
        }
    }

    fn sample(&mut self) {
        self.samples.push(Held::now());
    }

    fn end(self) {
        let (first, last) = (self.samples[0], *self.samples.last().unwrap());
        let most = self
            .samples
            .iter()
            .map(|held| held.memory_kib)
            .max()
            .unwrap();
        eprintln!(
            "{:10} {:6.1} s   memory {:6} KiB, then at most {:6}, at last {:6}   files {} {}   threads {} {}   children {} {}",
            self.name,
            self.begun.elapsed().as_secs_f32(),
            first.memory_kib,
            most,
            last.memory_kib,
            first.files,
            last.files,
            first.threads,
            last.threads,
            first.children,
            last.children,
        );
        assert!(self.samples.len() > 5);
        assert!(most < first.memory_kib + 16 * 1024, "{:?}", self.samples);
        assert!(last.files <= first.files, "{:?}", self.samples);
        assert!(last.children <= first.children, "{:?}", self.samples);
        assert!(last.threads <= first.threads + 2);
    }
}

/// A thousand lines of a turn of its own, in a thread of its own.
fn turn(n: u64) -> String {
    let (mut lines, ids) = (
        String::new(),
        format!(r#""threadId":"thr-{n}","turnId":"turn-{n}""#),
    );
    let mut say = |method: &str, params: &str| {
        writeln!(lines, r#"{{"method":"{method}","params":{{{params}}}}}"#).unwrap();
    };
    say("thread/started", &format!(r#""thread":{{"id":"thr-{n}"}}"#));
    say(
        "turn/started",
        &format!(r#"{ids},"turn":{{"id":"turn-{n}"}}"#),
    );
    for item in 0..49 {
        for _ in 0..19 {
            let delta = format!(r#"{ids},"itemId":"i-{item}","delta":"some words and \"more\"""#);
            say("item/agentMessage/delta", &delta);
        }
        let item = format!(r#"{{"type":"agentMessage","id":"i-{item}","text":"all of it"}}"#);
        say("item/completed", &format!(r#"{ids},"item":{item}"#));
    }
    for used in 0..15 {
        let usage = format!(r#"{{"total":{{"totalTokens":{used}}}}}"#);
        say(
            "thread/tokenUsage/updated",
            &format!(r#"{ids},"tokenUsage":{usage}"#),
        );
    }
    say("and \" this is not JSON", "");
    let end = format!(r#"{{"id":"turn-{n}","status":"completed","items":[]}}"#);
    say("turn/completed", &format!(r#"{ids},"turn":{end}"#));
    say("thread/closed", &format!(r#""threadId":"thr-{n}""#));
    lines
}

/// Events for a fast reader, a slow one, a temporary one, and one that never reads.
async fn events() {
    let mut phase = Phase::begin("events");
    let (client, mut far) = RawServer::connect(CasClient::builder()).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for slow in [false, true] {
        let (mut events, over) = (client.events(Filter::all()), over.clone());
        readers.spawn(async move {
            let mut n = 0;
            loop {
                n += match events.next().await {
                    Some(Ok(_)) => 1,
                    Some(Err(Error::Lagged { skipped })) => skipped,
                    _ => return n,
                };
                if slow && !over.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    let _never_read = client.events(Filter::all());
    // Wires are opened and dropped while lines are written, most of them unread.
    let wires = tokio::spawn({
        let (client, over) = (client.clone(), over.clone());
        async move {
            while !over.load(Ordering::Relaxed) {
                let mut wire = client.wire();
                if wire.next().await.is_none() {
                    return;
                }
                drop(wire);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let per_turn = turn(0).lines().count() as u64;
    assert_eq!(per_turn, 1_000);
    for n in 0..EVENTS / per_turn {
        let mut fleeting = client.events(Filter::all().thread(format!("thr-{n}")));
        far.write(turn(n).as_bytes()).await;
        if n % 10 == 0 {
            fleeting.next().await.unwrap().unwrap();
        }
        if n % 500 == 499 {
            phase.sample();
        }
    }
    drop(far);
    client.closed().await;
    wires.await.unwrap();
    drop(client);
    over.store(true, Ordering::Relaxed);
    while let Some(n) = readers.join_next().await {
        assert_eq!(n.unwrap(), EVENTS, "read or counted as skipped");
    }
    phase.end();
}

/// Requests that are answered, refused and given up, some of which the server answers late, and
/// requests of the server between them, while wires come and go.
async fn requests() {
    let mut phase = Phase::begin("requests");
    let (client, far) = RawServer::connect(CasClient::builder()).await;
    let server = tokio::spawn(async move {
        let (read, mut write) = far.into_halves();
        let mut lines = read.lines();
        let mut answered = 0_u64;
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).unwrap();
            let id = &message["id"];
            let mut out = match message["method"].as_str() {
                Some("echo") => format!("{}\n", json!({"id": id, "result": message["params"]})),
                Some("turn/start") if id.as_u64().unwrap().is_multiple_of(40) => continue,
                // Abandoned by then; its place is kept until this response.
                Some("turn/start") => format!("{}\n", json!({"id": id, "result": {}})),
                Some("refuse") => {
                    format!(
                        "{}\n",
                        json!({"id": id, "error": {"code": -32001, "message": "no"}})
                    )
                }
                Some(other) => panic!("{other}"),
                None => {
                    answered += 1;
                    continue;
                }
            };
            if id.as_u64().unwrap().is_multiple_of(4) {
                let ask = json!({"id": id, "method": "item/commandExecution/requestApproval", "params": {}});
                writeln!(out, "{ask}").unwrap();
            }
            if write.write_all(out.as_bytes()).await.is_err() {
                break;
            }
        }
        answered
    });
    for round in 0..REQUESTS / 1_000 {
        drop(client.wire());
        let mut wire = client.wire();
        let mut callers = JoinSet::new();
        callers.spawn(async move {
            for _ in 0..100 {
                wire.next().await.unwrap();
            }
        });
        for n in 0..100 {
            let client = client.clone();
            callers.spawn(async move {
                for k in 0..10 {
                    let params = json!({"n": n, "k": k});
                    match (n + k) % 20 {
                        0 => drop(client.call::<Value>("refuse", &params).await.unwrap_err()),
                        1 => {
                            let call = client.call::<Value>("turn/start", &params);
                            drop(tokio::time::timeout(Duration::from_micros(200), call).await);
                        }
                        _ => {
                            assert_eq!(
                                client.call::<Value>("echo", &params).await.unwrap(),
                                params
                            );
                        }
                    }
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
        if round >= 10 && round % 10 == 9 {
            phase.sample();
        }
    }
    assert!(client.pending_requests().len() <= 256);
    client.shutdown().await;
    drop(client);
    assert!(server.await.unwrap() > REQUESTS / 5);
    phase.end();
}

/// Processes that are shut down, dropped, killed or end by themselves, each with its own child.
async fn spawns(codex: &Path) {
    let mut phase = Phase::begin("processes");
    let mut pids = Vec::new();
    for n in 0..SPAWNS {
        let client = CasClient::builder().codex(codex).spawn().await.unwrap();
        pids.push(client.pid().unwrap());
        match n % 4 {
            0 => drop(client.shutdown().await),
            1 => drop(client),
            2 => drop(client.call::<Value>("die", &json!({})).await.unwrap_err()),
            _ => drop(
                tokio::spawn(async move { client.shutdown().await })
                    .await
                    .unwrap(),
            ),
        }
        if n % 100 == 99 {
            eventually("no child is left", || children() == 0).await;
            phase.sample();
        }
    }
    eventually("nothing of any group is left", || {
        pids.iter().all(|pid| !group_exists(*pid))
    })
    .await;
    phase.end();
}

fn group_exists(pgid: u32) -> bool {
    let pgid = rustix::process::Pid::from_raw(pgid.cast_signed()).unwrap();
    rustix::process::test_kill_process_group(pgid).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes; see the top of the file"]
async fn an_hours_traffic_leaves_memory_files_and_processes_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let codex = dir.path().join("codex");
    let script = "#!/bin/sh\n\
        sleep 1000 &\n\
        read -r line; echo '{\"id\":1,\"result\":{}}'; read -r line\n\
        read -r line && exit 7\n";
    fs::write(&codex, script).unwrap();
    fs::set_permissions(&codex, fs::Permissions::from_mode(0o755)).unwrap();
    // A deadlock would block the timers too.
    let _watched = common::watchdog(3_600, "the soak");
    within(3_600, async {
        events().await;
        requests().await;
        spawns(&codex).await;
    })
    .await;
}

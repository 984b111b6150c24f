//! Measures the client as a process: spawns any program as its codex, consumes one turn and prints
//! one line of JSON.
//!
//! `cargo run --release --example flood -- PROGRAM [--mode
//! typed|four|idle-15|slow|floor|newlines|calls|at-once]` where PROGRAM is usually
//! `target/release/examples/flood_server`. CPU time is that of this process. With `FLOOD_OVER=unix`
//! or `FLOOD_OVER=ws` it joins `PROGRAM --listen ADDRESS` instead of starting it on pipes.

#[path = "../benches/support/floors.rs"]
mod floors;
#[path = "../benches/support/usage.rs"]
mod usage;

use std::{
    future::IntoFuture as _,
    io::{BufRead as _, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cas_sdk::{
    CasClient, Error, Events, Filter,
    events::MessageKind,
    protocol::{
        Call as _, ServerNotification, ThreadListParams, ThreadLoadedListParams, ThreadStartParams,
    },
    supervisor::Restart,
};
use serde_json::json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (program, mode) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [program] => (program, "typed"),
        [program, "--mode", mode] => (program, mode),
        _ => return Err("usage: flood PROGRAM [--mode MODE]".into()),
    };
    let begun = Instant::now();
    let counts = match mode {
        "floor" => floor(program, true)?,
        "newlines" => floor(program, false)?,
        _ => {
            let mut builder = match std::env::var_os("FLOOD_ONE_THREAD") {
                Some(_) => tokio::runtime::Builder::new_current_thread(),
                None => tokio::runtime::Builder::new_multi_thread(),
            };
            let runtime = builder.enable_all().build()?;
            runtime.block_on(client(program.to_owned(), mode.to_owned()))?
        }
    };
    let wall = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"mode": mode, "events": counts.events, "deltas": counts.deltas, "bytes": counts.bytes,
        "skipped": counts.skipped, "note": counts.note, "wall_s": wall, "peak_kib": usage::peak_kib("self"), "cpu_s": cpu_seconds()})
    );
    Ok(())
}

#[derive(Default)]
struct Counts {
    events: u64,
    deltas: u64,
    /// The bytes of the deltas' text, which proves that it was read.
    bytes: u64,
    skipped: u64,
    note: String,
}

async fn client(program: String, mode: String) -> Result<Counts, Failure> {
    let client = match std::env::var("FLOOD_OVER") {
        Ok(socket) => join(&program, &socket).await?,
        Err(_) => CasClient::builder().codex(program).spawn().await?,
    };
    match mode.as_str() {
        "calls" => return tokio::spawn(calls(client)).await?,
        "at-once" => return tokio::spawn(at_once(client)).await?,
        _ => {}
    }
    let thread = client.start_thread(ThreadStartParams::default()).await?;
    let all = || {
        client.events(
            Filter::all()
                .thread(thread.id())
                .kind(MessageKind::Notification),
        )
    };
    let idle: Vec<Events> = match mode.as_str() {
        "idle-15" => (0..15)
            .map(|n| client.events(Filter::all().thread(format!("other-{n}"))))
            .collect(),
        _ => Vec::new(),
    };
    let readers: Vec<Events> = (0..if mode == "four" { 4 } else { 1 })
        .map(|_| all())
        .collect();
    let slow = mode == "slow";
    let params = json!({"threadId": thread.id(), "input": []});
    let tasks: Vec<_> = readers
        .into_iter()
        .map(|events| tokio::spawn(read(events, slow)))
        .collect();
    client
        .call::<serde_json::Value>("turn/start", &params)
        .await?;
    let mut counts = Counts::default();
    for task in tasks {
        let one = task.await??;
        counts.events += one.events;
        counts.deltas += one.deltas;
        counts.bytes += one.bytes;
        counts.skipped += one.skipped;
        counts.note = one.note;
    }
    drop(idle);
    client.shutdown().await;
    Ok(counts)
}

/// Starts the program on a socket and joins it. It ends with its client.
async fn join(program: &str, socket: &str) -> Result<CasClient, Failure> {
    let address = match socket {
        "unix" => {
            let name = format!("flood-{}.sock", std::process::id());
            format!("unix://{}", std::env::temp_dir().join(name).display())
        }
        "ws" => {
            let free = std::net::TcpListener::bind("127.0.0.1:0")?;
            format!("ws://{}", free.local_addr()?)
        }
        _ => return Err("FLOOD_OVER is unix or ws".into()),
    };
    Command::new(program).args(["--listen", &address]).spawn()?;
    let policy = Restart::default().attempts(8);
    let supervisor = CasClient::builder().supervise_connection(&*address, policy);
    Ok(supervisor.await?.client().await?)
}

async fn read(mut events: Events, slow: bool) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(Error::Lagged { skipped }) => {
                counts.skipped += skipped;
                continue;
            }
            Err(other) => return Err(other.into()),
        };
        counts.events += 1;
        match event.notification()? {
            ServerNotification::ItemAgentMessageDelta(delta) => {
                counts.deltas += 1;
                counts.bytes += delta.delta.len() as u64;
            }
            ServerNotification::Error(error) => counts.note.clone_from(&error.error.message),
            ServerNotification::TurnCompleted(_) => break,
            _ => {}
        }
        if slow && counts.events % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(counts)
}

/// Sequential round trips.
async fn calls(client: CasClient) -> Result<Counts, Failure> {
    let mut took = Vec::new();
    for _ in 0..20_000 {
        let at = Instant::now();
        client
            .call::<serde_json::Value>(ThreadLoadedListParams::METHOD, &json!({}))
            .await?;
        took.push(at.elapsed());
    }
    took.sort_unstable();
    let note = format!("median {:?}, p99 {:?}", took[10_000], took[19_800]);
    Ok(Counts {
        events: 20_000,
        note,
        ..Counts::default()
    })
}

/// 10,000 typed `thread/list` at once, thirty times.
async fn at_once(client: CasClient) -> Result<Counts, Failure> {
    let mut took = Vec::new();
    for _ in 0..30 {
        let at = Instant::now();
        let all = (0..10_000).map(|_| client.request(ThreadListParams::default()).into_future());
        futures_util::future::try_join_all(all).await?;
        took.push(at.elapsed());
    }
    took.sort_unstable();
    let rate = |took: Duration| 10_000.0 / took.as_secs_f64();
    let note = format!(
        "best {:.0}/s, median {:.0}/s",
        rate(took[0]),
        rate(took[15])
    );
    Ok(Counts {
        events: 300_000,
        note,
        ..Counts::default()
    })
}

/// What no client can do without: a blocking loop that frames lines and, if asked, scans the
/// envelope with borrowed strings and decodes the delta.
fn floor(program: &str, decode: bool) -> Result<Counts, Failure> {
    let mut child = Command::new(program)
        .arg("app-server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    for (id, method) in ["initialize", "thread/start", "turn/start"]
        .into_iter()
        .enumerate()
    {
        writeln!(
            stdin,
            "{}",
            json!({"id": id, "method": method, "params": {}})
        )?;
    }
    let mut out =
        std::io::BufReader::with_capacity(64 * 1024, child.stdout.take().ok_or("no stdout")?);
    let (mut counts, mut line) = (Counts::default(), Vec::new());
    loop {
        line.clear();
        if out.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        counts.events += 1;
        if decode {
            let (method, delta) = floors::read(&line)?;
            if let Some(delta) = delta {
                counts.deltas += 1;
                counts.bytes += delta.text.len() as u64;
            }
            if method == "turn/completed" {
                break;
            }
        } else if line.len() < 400 && memchr::memmem::find(&line, b"turn/completed").is_some() {
            break;
        }
    }
    drop(stdin);
    child.wait()?;
    Ok(counts)
}

/// User and system time of this process, without its children.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat
        .rsplit(')')
        .next()?
        .split_whitespace()
        .skip(11)
        .map(str::parse::<u32>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(f64::from(ticks) / f64::from(per_second))
}

//! A fake `codex app-server` that floods: on `turn/start` it writes a turn of `FLOOD_EVENTS`
//! notifications (default 1,000,000) as fast as the pipe takes them. With `FLOOD_ASK_EVERY=n` each
//! nth line is preceded by a command approval request; the times until the answers came are in the
//! `error` notification before the end. For measuring clients.
//!
//! `flood_server --listen unix://PATH|ws://IP:PORT` serves one client on a socket, through another
//! process.

#[path = "../benches/support/bridge.rs"]
mod bridge;
#[path = "../benches/support/mix.rs"]
mod mix;

use std::{
    collections::HashMap,
    io::{BufRead as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json, value::RawValue};

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [listen, address] = &args[..]
        && listen == "--listen"
    {
        return bridge::listen(address);
    }
    let setting = |name: &str, default| {
        let set = std::env::var(name).ok();
        set.and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let (events, ask_every) = (
        setting("FLOOD_EVENTS", 1_000_000),
        setting("FLOOD_ASK_EVERY", 0),
    );
    let (asked, took) = (Arc::new(Asked::default()), Arc::new(Mutex::new(Vec::new())));
    let mut input = std::io::BufReader::with_capacity(64 * 1024, std::io::stdin());
    let (mut line, mut answers, mut floods) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            std::process::exit(0); // An app-server ends with its input.
        }
        let Ok(Message {
            id: Some(id),
            method,
        }) = serde_json::from_slice(&line)
        else {
            continue;
        };
        let result = match method {
            None => {
                let at = id
                    .get()
                    .parse()
                    .ok()
                    .and_then(|id| lock(&asked).remove(&id));
                lock(&took).extend(at.map(|at: Instant| at.elapsed()));
                continue;
            }
            Some("initialize") => {
                r#"{"userAgent":"flood/0.169.0 (test)","codexHome":"/","platformFamily":"unix","platformOs":"linux"}"#
            }
            Some("thread/start") => &format!(r#"{{"thread":{{"id":"{}"}}}}"#, mix::THREAD),
            Some("turn/start") => &format!(r#"{{"turn":{}}}"#, turn("inProgress")),
            Some("thread/list" | "thread/loaded/list") => r#"{"data":[],"nextCursor":null}"#,
            Some(_) => "{}",
        };
        writeln!(answers, r#"{{"id":{id},"result":{result}}}"#)?;
        // Responses to the requests of one read are sent in one write.
        if input.buffer().is_empty() || method == Some("turn/start") {
            std::io::stdout().lock().write_all(&answers)?;
            std::io::stdout().flush()?;
            answers.clear();
        }
        if method == Some("turn/start") {
            let (asked, took) = (asked.clone(), took.clone());
            floods.push(std::thread::spawn(move || {
                let mut out = std::io::stdout().lock();
                flood(&mut out, events, ask_every, &asked)?;
                let deadline = Instant::now() + Duration::from_secs(10);
                while !lock(&asked).is_empty() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(1));
                }
                end(&mut out, &mut lock(&took))
            }));
        }
    }
}

#[derive(serde::Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
}

fn turn(status: &str) -> Value {
    json!({"id": mix::TURN, "items": [], "status": status})
}

type Asked = Mutex<HashMap<u64, Instant>>;

fn flood(
    out: &mut impl std::io::Write,
    events: usize,
    ask_every: usize,
    asked: &Asked,
) -> std::io::Result<()> {
    let notify =
        |method: &str, params: Value| format!("{}\n", json!({"method": method, "params": params}));
    out.write_all(
        notify(
            "turn/started",
            json!({"threadId": mix::THREAD, "turn": turn("inProgress")}),
        )
        .as_bytes(),
    )?;
    let lines = mix::period();
    let mut chunk = Vec::with_capacity(80 * 1024);
    for n in 0..events {
        if ask_every > 0 && n % ask_every == ask_every - 1 {
            let id = (n / ask_every) as u64;
            let params = json!({"threadId": mix::THREAD, "turnId": mix::TURN, "itemId": "call_1", "startedAtMs": 0, "command": "ls"});
            let ask = json!({"id": id, "method": "item/commandExecution/requestApproval", "params": params});
            chunk.extend_from_slice(format!("{ask}\n").as_bytes());
            lock(asked).insert(id, Instant::now());
            out.write_all(&chunk)?;
            chunk.clear();
        }
        chunk.extend_from_slice(lines[n % lines.len()].as_bytes());
        if chunk.len() >= 64 * 1024 {
            out.write_all(&chunk)?;
            chunk.clear();
        }
    }
    out.write_all(&chunk)
}

fn end(out: &mut impl std::io::Write, took: &mut [Duration]) -> std::io::Result<()> {
    if !took.is_empty() {
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_micros();
        let text = format!(
            "answers: {}; p50 {} us; p99 {} us",
            took.len(),
            at(50),
            at(99)
        );
        let params = json!({"threadId": mix::THREAD, "turnId": mix::TURN, "willRetry": true, "error": {"message": text}});
        writeln!(out, "{}", json!({"method": "error", "params": params}))?;
    }
    writeln!(
        out,
        "{}",
        json!({"method": "turn/completed", "params": {"threadId": mix::THREAD, "turn": turn("completed")}})
    )?;
    out.flush()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Measures `cas proxy` as a process, between a flooding fake app-server and a counting reader.
//!
//! ```text
//! cargo build --release --features cli --bin cas --example proxy_flood
//! target/release/examples/proxy_flood flood      # CPU seconds per million messages, proxy and reader
//! target/release/examples/proxy_flood stalled    # peak memory while nobody reads, and losses
//! target/release/examples/proxy_flood trip       # time added to the round trip of a request
//! target/release/examples/proxy_flood approvals  # time to answer approvals during a flood
//! target/release/examples/proxy_flood floor      # the baseline without a proxy: a blocking loop that decodes every delta
//! ```
//!
//! `--messages N` and `--cas PATH` change the defaults. Linux only: the figures are from `/proc`.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures of a measurement"
)]

#[path = "../benches/support/usage.rs"]
mod usage;

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

const THREAD: &str = "0199a213-81c0-7800-8aa1-bbab2a035a53";
const TURN: &str = "0199a213-81c5-7d12-9f3e-3c5d8e2f1a00";

/// Prints a line. Exits if the reader has gone, such as `head`.
macro_rules! tell {
    ($($what:tt)*) => {
        match writeln!(io::stdout(), $($what)*) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit(0),
            told => told?,
        }
    };
}

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "app-server") {
        return server();
    }
    let value = |flag: &str| {
        let at = args.iter().position(|a| a == flag)?;
        args.get(at + 1).cloned()
    };
    let messages = value("--messages").map_or(1_000_000, |n| n.parse().expect("a number"));
    let beside = env::current_exe()?.with_file_name("../cas");
    let cas = value("--cas").unwrap_or_else(|| beside.display().to_string());
    match args.first().map(String::as_str) {
        Some("flood") => flood(&cas, messages, false),
        Some("stalled") => flood(&cas, messages, true),
        Some("trip") => trip(&cas),
        Some("approvals") => approvals(&cas, messages),
        Some("floor") => floor(messages),
        _ => {
            eprintln!(
                "usage: proxy_flood flood|stalled|trip|approvals|floor [--messages N] [--cas PATH]"
            );
            exit(2)
        }
    }
}

/// A proxy between this program as app-server and this program as orchestrator.
struct Proxy {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Proxy {
    fn start(cas: &str) -> io::Result<Self> {
        let state = env::temp_dir().join(format!("proxy-flood-{}.json", std::process::id()));
        let mut child = Command::new(cas)
            .arg("proxy")
            .arg("--codex")
            .arg(env::current_exe()?)
            .arg("--state-file")
            .arg(state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (
            child.stdin.take().expect("piped"),
            child.stdout.take().expect("piped"),
        );
        let stdout = BufReader::with_capacity(64 * 1024, stdout);
        let mut proxy = Self {
            child,
            stdin,
            stdout,
        };
        proxy.event(|event| event["type"] == "cas/ready")?;
        Ok(proxy)
    }

    fn request(&mut self, method: &str, params: &Value) -> io::Result<()> {
        let line = json!({"type": "cas/request", "method": method, "params": params});
        self.stdin.write_all(format!("{line}\n").as_bytes())
    }

    fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> io::Result<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stdout.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let event = serde_json::from_str(&line)?;
            if wanted(&event) {
                return Ok(event);
            }
        }
    }

    fn end(mut self) -> io::Result<()> {
        self.stdin.write_all(b"{\"type\":\"cas/exit\"}\n")?;
        io::copy(&mut self.stdout, &mut io::sink())?;
        self.child.wait().map(drop)
    }
}

/// Counts lines until the turn is over; the flood's last line is the end of the turn.
fn count(from: &mut impl Read) -> io::Result<usize> {
    let mut buf = vec![0; 64 * 1024];
    let mut lines = 0;
    let mut tail = Vec::new();
    loop {
        let n = from.read(&mut buf)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lines += memchr::memchr_iter(b'\n', &buf[..n]).count();
        tail.extend_from_slice(&buf[n.saturating_sub(1024)..n]);
        if buf[n - 1] == b'\n' && memchr::memmem::find(&tail, b"\"turn/completed\"").is_some() {
            return Ok(lines);
        }
        let keep = tail.len().saturating_sub(1024);
        tail.drain(..keep);
    }
}

fn flood(cas: &str, messages: usize, stalled: bool) -> io::Result<()> {
    let mut proxy = Proxy::start(cas)?;
    let pid = proxy.child.id();
    let (before, own) = (cpu(pid), cpu(std::process::id()));
    let started = Instant::now();
    proxy.request("flood/start", &json!({"messages": messages}))?;
    if stalled {
        thread::sleep(Duration::from_secs(3));
        tell!(
            "peak with a reader that reads nothing for 3 s: {:.1} MB",
            f64::from(usage::peak_kib(pid)) / 1024.0
        );
    }
    let lines = count(&mut proxy.stdout)?;
    let took = started.elapsed().as_secs_f64();
    let million = messages as f64 / 1e6;
    let (theirs, ours) = (cpu(pid) - before, cpu(std::process::id()) - own);
    tell!(
        "{messages} messages, {lines} events in {took:.2} s: {:.0} thousand a second",
        messages as f64 / took / 1e3
    );
    tell!(
        "CPU seconds a million: {:.2} = proxy {:.2} + reader {:.2}",
        (theirs + ours) / million,
        theirs / million,
        ours / million
    );
    tell!("peak {:.1} MB", f64::from(usage::peak_kib(pid)) / 1024.0);
    proxy.request("flood/done", &json!({}))?;
    proxy.stdin.write_all(b"{\"type\":\"cas/stats/get\"}\n")?;
    let stats = proxy.event(|e| e["type"] == "cas/stats")?;
    tell!("{}", stats["snapshot"]["stats"]);
    proxy.end()
}

fn trip(cas: &str) -> io::Result<()> {
    const TRIPS: usize = 5_000;
    let mut proxy = Proxy::start(cas)?;
    let mut through = Vec::new();
    for _ in 0..TRIPS {
        let started = Instant::now();
        proxy.request("echo", &json!({"threadId": THREAD}))?;
        let mut line = String::new();
        loop {
            line.clear();
            proxy.stdout.read_line(&mut line)?;
            if line.contains(r#""requestMethod":"echo""#) {
                break;
            }
        }
        through.push(started.elapsed());
    }
    proxy.end()?;
    let mut direct = Vec::new();
    let (mut child, mut stdin, stdout) = start_server()?;
    let mut stdout = BufReader::new(stdout);
    for id in 0..TRIPS {
        let started = Instant::now();
        let line = json!({"method": "echo", "id": id, "params": {"threadId": THREAD}});
        stdin.write_all(format!("{line}\n").as_bytes())?;
        stdout.read_line(&mut String::new())?;
        direct.push(started.elapsed());
    }
    drop(stdin);
    child.wait()?;
    let (through, direct) = (Percentiles::of(through), Percentiles::of(direct));
    tell!(
        "round trip through the proxy: {through}; without: {direct}; added (median): {:.1} µs",
        through.median - direct.median
    );
    Ok(())
}

fn approvals(cas: &str, messages: usize) -> io::Result<()> {
    let mut proxy = Proxy::start(cas)?;
    proxy.request(
        "flood/start",
        &json!({"messages": messages, "approvalEvery": 1_000}),
    )?;
    count(&mut proxy.stdout)?;
    proxy.request("flood/times", &json!({}))?;
    let answer = proxy.event(|e| e["requestMethod"] == "flood/times")?;
    let times: Vec<u64> = serde_json::from_value(answer["msg"]["result"]["micros"].clone())?;
    tell!(
        "approvals answered during a flood: {}",
        Percentiles::of(times.into_iter().map(Duration::from_micros).collect())
    );
    proxy.end()
}

/// A client without a proxy: a blocking loop, the envelope decoded with borrowed strings, every
/// delta typed.
fn floor(messages: usize) -> io::Result<()> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        method: Option<&'a str>,
        #[serde(borrow)]
        params: Option<&'a serde_json::value::RawValue>,
    }
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        delta: std::borrow::Cow<'a, str>,
    }
    let (mut child, mut stdin, stdout) = start_server()?;
    let own = cpu(std::process::id());
    let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
    let start = json!({"method": "flood/start", "id": 0, "params": {"messages": messages}});
    stdin.write_all(format!("{start}\n").as_bytes())?;
    let (mut line, mut text) = (Vec::new(), 0);
    loop {
        line.clear();
        stdout.read_until(b'\n', &mut line)?;
        let envelope: Envelope<'_> = serde_json::from_slice(&line)?;
        match (envelope.method, envelope.params) {
            (Some("item/agentMessage/delta"), Some(params)) => {
                text += serde_json::from_str::<Delta<'_>>(params.get())?.delta.len();
            }
            (Some("turn/completed"), _) => break,
            _ => {}
        }
    }
    let took = (cpu(std::process::id()) - own) / (messages as f64 / 1e6);
    tell!("floor: {took:.2} CPU seconds a million ({text} bytes of text)");
    drop(stdin);
    child.wait().map(drop)
}

fn start_server() -> io::Result<(Child, ChildStdin, ChildStdout)> {
    let mut child = Command::new(env::current_exe()?)
        .arg("app-server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdin, stdout) = (
        child.stdin.take().expect("piped"),
        child.stdout.take().expect("piped"),
    );
    Ok((child, stdin, stdout))
}

struct Percentiles {
    median: f64,
    p99: f64,
    max: f64,
    of: usize,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
        Self {
            median: at(50),
            p99: at(99),
            max: at(100),
            of: times.len(),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "median {:.0} µs, p99 {:.0}, max {:.0} (of {})",
            self.median, self.p99, self.max, self.of
        )
    }
}

/// CPU seconds of all threads of a process.
fn cpu(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0.0;
    };
    let nanos: u64 = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    nanos as f64 / 1e9
}

/// The fake app-server.
fn server() -> io::Result<()> {
    let (answered, answers) = mpsc::channel::<Instant>();
    let (asked, requests) = mpsc::channel::<Value>();
    // The reading thread must not wait for the writing one.
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            let now = Instant::now();
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            let sent = match (&message["method"], &message["id"]) {
                (Value::String(_), Value::Null) => Ok(()),
                (Value::String(_), _) => asked.send(message).map_err(drop),
                _ => answered.send(now).map_err(drop),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    let mut out = io::stdout().lock();
    let mut micros: Vec<u64> = Vec::new();
    for request in requests {
        let params = &request["params"];
        let result = match request["method"].as_str() {
            Some("initialize") => json!({"userAgent": "flood/0.0.0"}),
            Some("flood/times") => json!({"micros": micros}),
            Some("flood/start") => {
                pour(&mut out, params, &answers, &mut micros)?;
                continue;
            }
            _ => json!({}),
        };
        writeln!(out, "{}", json!({"id": request["id"], "result": result}))?;
        out.flush()?;
    }
    Ok(())
}

fn pour(
    out: &mut impl Write,
    params: &Value,
    answers: &mpsc::Receiver<Instant>,
    micros: &mut Vec<u64>,
) -> io::Result<()> {
    let messages = params["messages"].as_u64().unwrap_or_default() as usize;
    let every = params["approvalEvery"].as_u64().map(|n| n as usize);
    let lines: Vec<String> = (0..2_000).map(line).collect();
    let approval = format!(
        r#"{{"method":"item/commandExecution/requestApproval","id":0,"params":{{"threadId":"{THREAD}","turnId":"{TURN}","itemId":"call-1","command":"ls","proposedExecpolicyAmendment":["ls"]}}}}"#
    );
    let mut buf = Vec::with_capacity(80 * 1024);
    let mut asked: Option<Instant> = None;
    for index in 0..messages {
        buf.extend_from_slice(lines[index % lines.len()].as_bytes());
        buf.push(b'\n');
        if let Some(every) = every {
            if let Some(since) = asked
                && let Ok(at) = answers.try_recv()
            {
                micros.push(at.duration_since(since).as_micros() as u64);
                asked = None;
            }
            if asked.is_none() && index % every == every - 1 {
                out.write_all(&buf)?;
                buf.clear();
                asked = Some(Instant::now());
                out.write_all(format!("{approval}\n").as_bytes())?;
                out.flush()?;
            }
        }
        if buf.len() >= 64 * 1024 {
            out.write_all(&buf)?;
            buf.clear();
        }
    }
    buf.extend_from_slice(
        format!(r#"{{"method":"turn/completed","params":{{"threadId":"{THREAD}","turn":{{"id":"{TURN}","status":"completed","items":[]}}}}}}"#).as_bytes(),
    );
    buf.push(b'\n');
    out.write_all(&buf)?;
    out.flush()
}

/// The mix: of every 2,000 lines each 200th the token usage, every other 50th a command with 2 KB
/// of output, the rest deltas, one in ten of them with escapes and one in twenty with more than
/// ASCII.
fn line(index: usize) -> String {
    const AT: u64 = 1_763_841_600_000;
    if index % 200 == 199 {
        let usage = json!({"totalTokens": index, "inputTokens": 5, "cachedInputTokens": 0, "outputTokens": 1, "reasoningOutputTokens": 0});
        return json!({"method": "thread/tokenUsage/updated", "params": {"threadId": THREAD, "turnId": TURN,
            "tokenUsage": {"total": usage, "last": usage, "modelContextWindow": 258_400}}, "emittedAtMs": AT})
        .to_string();
    }
    if index % 50 == 49 {
        return json!({"method": "item/completed", "params": {"item": {"type": "commandExecution", "id": format!("call-{index}"),
            "command": "/bin/bash -lc 'cargo test'", "cwd": "/work", "processId": "12", "source": "agent", "status": "completed",
            "commandActions": [{"type": "unknown", "command": "cargo test"}],
            "aggregatedOutput": "test a_name_of_a_test ... ok\n".repeat(70), "exitCode": 0, "durationMs": 120},
            "threadId": THREAD, "turnId": TURN, "completedAtMs": AT}, "emittedAtMs": AT})
        .to_string();
    }
    let delta = match index % 20 {
        3 | 13 => "say \"hello\"\n\tand go on",
        7 => "größer als ☃ und naïve",
        _ => " some more words of it",
    };
    json!({"method": "item/agentMessage/delta", "params": {"threadId": THREAD, "turnId": TURN,
        "itemId": "msg-0199a21381c57d12", "delta": delta}, "emittedAtMs": AT})
    .to_string()
}

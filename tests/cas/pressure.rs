//! A reader that is slower than the server: nothing is lost, nothing grows.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use serde_json::Value;

use crate::{
    common::eventually,
    fake,
    instance::{Instance, command},
};

/// The most memory that a process has had, once it does nothing.
async fn peak_at_rest(pid: u32) -> u64 {
    let cpu = || std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let (mut last, mut since) = (String::new(), 0);
    eventually("the proxy rests", || {
        let now = cpu();
        since = if now == last { since + 1 } else { 0 };
        last = now;
        since >= 5 && peak_kb(pid) > 0
    })
    .await;
    peak_kb(pid)
}

#[tokio::test]
async fn a_reader_that_stalls_pauses_reading_and_loses_nothing() {
    const LINES: u64 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let mut child = command(&codex, dir.path())
        .args(["--max-out-queue", "100"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let flood =
        format!(r#"{{"type":"cas/request","method":"fake/flood","params":{{"count":{LINES}}}}}"#);
    let pid = child.id();
    // Most of it is machine code, which differs from build to build.
    let before = peak_at_rest(pid).await;
    writeln!(stdin, "{flood}").unwrap();
    // Nobody reads. The flood is 33 MB; what is kept of it has a bound.
    let peak = peak_at_rest(pid).await;
    assert!(peak - before < 6 * 1024, "{before} kB, then {peak} kB");

    let (mut numbers, mut types, mut seq) = (0, Vec::new(), 0);
    let mut stdin = Some(stdin);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        seq += 1;
        assert_eq!(event["seq"], seq, "no gap");
        if event["type"] == "cas/fromServer" && event["kind"] == "notification" {
            assert_eq!(event["msg"]["params"]["n"], numbers);
            numbers += 1;
        } else {
            types.push(event["type"].as_str().unwrap().to_owned());
        }
        if event["requestMethod"] == "fake/flood" {
            writeln!(stdin.as_mut().unwrap(), r#"{{"type":"cas/stats/get"}}"#).unwrap();
        }
        if event["type"] == "cas/stats" {
            let stats = &event["snapshot"]["stats"];
            let high = stats["outQueueHighWater"].as_u64().unwrap();
            assert!((100..=102).contains(&high), "{stats}");
            assert!(
                stats["stdoutBackpressureCount"].as_u64().unwrap() > 0,
                "{stats}"
            );
            assert_eq!(stats["ioPauses"], stats["ioResumes"], "{stats}");
            stdin = None;
        }
    }
    assert_eq!(numbers, LINES);
    let count = |name: &str| types.iter().filter(|t| *t == name).count();
    assert!(count("cas/ioPaused") >= 1);
    assert_eq!(count("cas/ioPaused"), count("cas/ioResumed"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_queue_limit_of_zero_or_one_pauses_no_more_than_it_has_to() {
    for (limit, pauses) in [("0", false), ("1", true)] {
        let mut cas = Instance::fake(&["--max-out-queue", limit]);
        cas.ready();
        cas.send(r#"{"type":"cas/request","method":"fake/flood","params":{"count":2000}}"#);
        let (mut paused, mut numbers) = (0, 0);
        loop {
            let event = cas.event(|_| true);
            paused += u64::from(event["type"] == "cas/ioPaused");
            numbers +=
                u64::from(event["method"] == "fake/flood" && event["kind"] == "notification");
            if event["requestMethod"] == "fake/flood" {
                break;
            }
        }
        assert_eq!(numbers, 2_000);
        if !pauses {
            assert_eq!(paused, 0);
        }
        assert!(paused <= 2_100, "{paused} pauses");
    }
}

#[tokio::test]
async fn a_command_of_64_mib_is_passed_on_and_its_memory_given_back() {
    const SIZE: usize = 64 * 1024 * 1024;
    let mut cas = Instance::fake(&[]);
    cas.ready();
    let text = "x".repeat(SIZE);
    // Taken as it comes by a server that keeps nothing of it.
    cas.send(&format!(
        r#"{{"type":"cas/request","method":"fake/say","clientRequestId":"large","params":{{"text":"{text}"}}}}"#
    ));
    drop(text);
    let sent = cas.event(|e| e["clientRequestId"] == "large" && e["type"] == "cas/toServer");
    assert_eq!(sent["msg"]["params"]["text"].as_str().unwrap().len(), SIZE);
    drop(sent);
    cas.event(|e| e["clientRequestId"] == "large" && e["kind"] == "response");
    cas.send(r#"{"type":"cas/request","method":"x"}"#);
    cas.event(|e| e["requestMethod"] == "x");
    let pid = cas.child.id();
    eventually("the memory is given back", || {
        status_kb(pid, "VmRSS:") < 32 * 1024
    })
    .await;
    let peak = peak_kb(pid);
    assert!(peak < 6 * 64 * 1024, "{peak} kB");
}

fn peak_kb(pid: u32) -> u64 {
    status_kb(pid, "VmHWM:")
}

fn status_kb(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or_default()
}

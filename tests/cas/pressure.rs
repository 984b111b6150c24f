//! A reader that is slower than the server: nothing is lost, nothing grows.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use serde_json::Value;

use crate::{common::eventually, fake, instance::command};

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
    writeln!(stdin, "{flood}").unwrap();
    // Nobody reads. The flood is 33 MB; what is kept of it has a bound.
    let pid = child.id();
    let cpu = || std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let mut last = String::new();
    eventually("the proxy rests", || {
        let now = cpu();
        let rests = now == last && peak_kb(pid) > 0;
        last = now;
        rests
    })
    .await;
    let peak = peak_kb(pid);
    assert!(peak < 16 * 1024, "{peak} kB");

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

fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or_default()
}

//! Many requests at once: each command has exactly one answer or error, however slow the other
//! sides are.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::{codex_test, eventually, within},
    fake,
    instance::{Instance, command},
};

fn requests(range: std::ops::Range<usize>, method: &str, params: &Value) -> String {
    let mut lines = String::new();
    for n in range {
        let request = json!({"type": "cas/request", "method": method, "clientRequestId": n.to_string(), "params": params});
        lines.push_str(&request.to_string());
        lines.push('\n');
    }
    lines
}

/// How often each request has had an answer, and an error.
#[derive(Default)]
struct Ends {
    answers: BTreeMap<String, usize>,
    errors: BTreeMap<String, usize>,
}

impl Ends {
    fn note(&mut self, event: &Value) {
        let id = event["clientRequestId"].as_str();
        let Some(id) = id.filter(|id| *id != "cas/initialize") else {
            return;
        };
        match (&event["type"], &event["kind"]) {
            (kind, response) if kind == "cas/fromServer" && response == "response" => {
                assert!(event["msg"].get("result").is_some(), "{event}");
                *self.answers.entry(id.to_owned()).or_default() += 1;
            }
            (kind, _) if kind == "cas/error" => {
                *self.errors.entry(id.to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Each of so many has had its answer, once, and no error.
    fn all_answered(&self, count: usize) {
        let once = self.answers.values().filter(|times| **times == 1).count();
        assert_eq!((once, self.answers.len()), (count, count));
        assert_eq!(self.errors.len(), 0, "{:?}", self.errors);
    }
}

fn spawn(mut command: Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends all commands at once, from a thread of its own as the pipe may fill up; reads all that
/// comes until so many answers and errors have come, and ends the instance.
fn flood(child: &mut Child, commands: String, count: usize) -> Ends {
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        stdin.write_all(commands.as_bytes()).unwrap();
        stdin
    });
    let mut ends = Ends::default();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while ends.answers.len() + ends.errors.len() < count {
        let line = lines.next().expect("the events go on").unwrap();
        ends.note(&serde_json::from_str(&line).unwrap());
    }
    let mut stdin = writer.join().unwrap();
    writeln!(stdin, r#"{{"type":"cas/exit"}}"#).unwrap();
    for line in lines {
        ends.note(&serde_json::from_str(&line.unwrap()).unwrap());
    }
    assert!(child.wait().unwrap().success());
    ends
}

#[tokio::test]
async fn five_thousand_requests_at_once_have_one_answer_each_from_a_server_that_drops_what_is_too_much()
 {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let mut command = command(&codex, dir.path());
    command.env("FAKE_MODE", "congested");
    let commands = requests(0..5_000, "x", &json!({}));
    let work = move || flood(&mut spawn(command), commands, 5_000).all_answered(5_000);
    within(120, tokio::task::spawn_blocking(work))
        .await
        .unwrap();
}

#[tokio::test]
async fn raw_requests_take_their_turn_like_others() {
    within(
        120,
        tokio::task::spawn_blocking(|| {
            let mut cas = Instance::start("", &[], &[("FAKE_MODE", "congested")]);
            cas.ready();
            for n in 0..2_000 {
                cas.send(
                    &json!({"type": "cas/send", "msg": {"id": format!("raw-{n}"), "method": "x"}})
                        .to_string(),
                );
            }
            let mut answers = BTreeMap::new();
            while answers.len() < 2_000 {
                let event = cas.event(|e| e["kind"] == "response" && e["internal"] == false);
                assert_eq!(
                    (&event["requestMethod"], &event["clientRequestId"]),
                    (&Value::Null, &Value::Null)
                );
                *answers.entry(event["id"].to_string()).or_insert(0) += 1;
            }
            assert!(answers.values().all(|times| *times == 1));
        }),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_reader_that_stalls_longer_than_the_limit_costs_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "");
    let mut command = command(&codex, dir.path());
    command.args(["--request-timeout-ms", "2000"]);
    command.env("FAKE_MODE", "congested");
    let mut child = spawn(command);
    let commands = requests(0..2_000, "x", &json!({"text": "x".repeat(1_000)}));
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        stdin.write_all(commands.as_bytes()).unwrap();
        stdin
    });
    // Nobody reads until the proxy has rested for a time that is longer than the limit.
    let stat = format!("/proc/{}/schedstat", child.id());
    let (mut last, mut rested) = (String::new(), 0);
    eventually("the proxy rests", || {
        let now = std::fs::read_to_string(&stat).unwrap_or_default();
        rested = if now == last { rested + 1 } else { 0 };
        last = now;
        rested >= 150
    })
    .await;
    let work = move || {
        let mut ends = Ends::default();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut paused = 0;
        while ends.answers.len() + ends.errors.len() < 2_000 {
            let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            paused += usize::from(event["type"] == "cas/ioPaused");
            ends.note(&event);
        }
        assert!(paused > 0);
        ends.all_answered(2_000);
        drop(writer.join().unwrap());
        for line in lines {
            ends.note(&serde_json::from_str(&line.unwrap()).unwrap());
        }
        ends.all_answered(2_000);
        assert!(child.wait().unwrap().success());
    };
    within(120, tokio::task::spawn_blocking(work))
        .await
        .unwrap();
}

#[test]
fn a_request_that_is_never_answered_is_an_error_and_those_behind_it_go_on() {
    let mut cas = Instance::fake(&["--request-timeout-ms", "3000"]);
    cas.ready();
    for n in 0..70 {
        cas.send(&json!({"type": "cas/request", "method": "fake/never", "clientRequestId": n.to_string(), "params": {"threadId": "t"}}).to_string());
    }
    cas.send(r#"{"type":"cas/request","method":"x","clientRequestId":"answered"}"#);
    let mut told = Vec::new();
    loop {
        let event = cas.event(|e| e["type"] == "cas/error" || e["clientRequestId"] == "answered");
        if event["type"] == "cas/error" {
            assert_eq!(
                (&event["method"], &event["threadId"]),
                (&json!("fake/never"), &json!("t"))
            );
            assert_eq!(event["sent"], true);
            told.push(
                event["clientRequestId"]
                    .as_str()
                    .unwrap()
                    .parse::<usize>()
                    .unwrap(),
            );
        } else if event["type"] == "cas/fromServer" {
            break;
        }
    }
    // It was sent when enough of those before it were told.
    assert!((7..70).contains(&told.len()), "{told:?}");
    while told.len() < 70 {
        let event = cas.event(|e| e["type"] == "cas/error");
        told.push(event["clientRequestId"].as_str().unwrap().parse().unwrap());
    }
    assert_eq!(
        told,
        (0..70).collect::<Vec<_>>(),
        "each once, in their order"
    );
    // An answer that comes after that says so.
    cas.send(r#"{"type":"cas/request","method":"fake/say","params":{"lines":["{\"id\":2,\"result\":{}}"]}}"#);
    let late = cas.event(|e| e["kind"] == "response" && e["id"] == 2);
    assert_eq!(
        (&late["late"], &late["clientRequestId"]),
        (&json!(true), &json!("0"))
    );
}

#[test]
fn each_request_without_an_answer_has_an_error_at_the_end() {
    for end in [
        r#"{"type":"cas/exit"}"#,
        r#"{"type":"cas/request","method":"turn/interrupt","params":{"exit":5}}"#,
    ] {
        let mut cas = Instance::start(
            "",
            &[],
            &[("FAKE_ANSWERS", r#"{"turn/interrupt":{"exit":5}}"#)],
        );
        cas.ready();
        let commands = requests(0..300, "fake/never", &json!({}));
        for line in commands.lines() {
            cas.send(line);
        }
        cas.send(end);
        let (mut ends, events) = (Ends::default(), cas.rest());
        for event in &events {
            ends.note(event);
        }
        assert_eq!(ends.answers.len(), 0);
        assert_eq!(ends.errors.len(), 300, "{end}");
        assert!(ends.errors.values().all(|times| *times == 1));
        let unsent = events.iter().filter(|e| e["sent"] == false).count();
        assert_eq!(unsent, 300 - 64);
    }
}

#[test]
fn an_interrupt_and_long_work_go_past_requests_that_wait() {
    let mut cas = Instance::fake(&[]);
    cas.ready();
    let commands = requests(0..300, "fake/never", &json!({}));
    for line in commands.lines() {
        cas.send(line);
    }
    for method in ["turn/interrupt", "turn/steer", "command/exec"] {
        cas.send(&json!({"type": "cas/request", "method": method}).to_string());
        cas.event(|e| e["requestMethod"] == method);
    }
}

#[test]
fn an_id_that_is_taken_is_an_error_and_costs_the_first_request_nothing() {
    let mut cas = Instance::fake(&[]);
    cas.ready();
    for client_request_id in ["first", "second"] {
        let request = json!({"type": "cas/request", "method": "fake/never", "id": "a", "clientRequestId": client_request_id});
        cas.send(&request.to_string());
    }
    let error = cas.event(|e| e["type"] == "cas/error");
    assert_eq!(
        (&error["id"], &error["msg"]["clientRequestId"]),
        (&json!("a"), &json!("second"))
    );
    cas.send(r#"{"type":"cas/request","method":"fake/say","params":{"lines":["{\"id\":\"\\u0061\",\"result\":{}}"]}}"#);
    let answer = cas.event(|e| e["kind"] == "response" && e["id"] == "a");
    assert_eq!(answer["clientRequestId"], "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_requests_at_once_to_the_real_codex_have_one_answer_each() {
    codex_test(120, async |rig| {
        let dir = tempfile::tempdir().unwrap();
        let mut command = command(rig.codex(), dir.path());
        command
            .env_clear()
            .envs(rig.home.env())
            .arg("--cwd")
            .arg(rig.home.work_dir());
        let commands = requests(0..5_000, "thread/loaded/list", &json!({}));
        let work = move || flood(&mut spawn(command), commands, 5_000).all_answered(5_000);
        within(120, tokio::task::spawn_blocking(work))
            .await
            .unwrap();
    })
    .await;
}

//! How instances end: by command, by signal, by accident. No app-server is left behind.

use rustix::process::Signal;

use crate::{
    common::{eventually, is_alive},
    instance::Instance,
};

fn server_of(instance: &mut Instance) -> u32 {
    let ready = instance.ready();
    u32::try_from(ready["appServerPid"].as_u64().unwrap()).unwrap()
}

async fn gone(pid: u32) {
    eventually("the app-server is gone", || !is_alive(pid)).await;
}

/// Whether what runs the tests ignores SIGHUP, as under nohup. Then so does all that they start.
pub fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[tokio::test]
async fn a_signal_is_told_and_passed_on() {
    for (signal, name) in [
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
        (Signal::HUP, "SIGHUP"),
    ] {
        if signal == Signal::HUP && hangup_is_ignored() {
            continue;
        }
        let mut instance = Instance::fake(&[]);
        let pid = server_of(&mut instance);
        instance.signal(signal);
        let told = instance.event(|e| e["type"] == "cas/signal");
        assert_eq!(told["signal"], name);
        let exit = instance.event(|e| e["type"] == "cas/appServerExit");
        assert_eq!(
            (&exit["code"], &exit["signal"]),
            (&serde_json::Value::Null, &name.into())
        );
        assert_eq!(
            instance.wait().code(),
            Some(1),
            "there is no code to pass on"
        );
        gone(pid).await;
    }
}

#[test]
fn a_proxy_under_nohup_goes_on_after_the_hangup() {
    let dir = tempfile::tempdir().unwrap();
    let codex = crate::fake::executable(dir.path(), "");
    let proxy = crate::instance::command(&codex, dir.path());
    let mut nohup = std::process::Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    nohup.arg(proxy.get_program()).args(proxy.get_args());
    let mut instance = Instance::run(nohup, dir);
    instance.ready();
    instance.signal(Signal::HUP);
    instance.send(r#"{"type":"cas/request","method":"x"}"#);
    let next = instance.event(|e| e["type"] == "cas/signal" || e["requestMethod"] == "x");
    assert_eq!(next["type"], "cas/fromServer");
}

#[tokio::test]
async fn a_process_that_left_the_group_of_a_killed_proxys_server_is_ended_by_the_next_start() {
    let registry = tempfile::tempdir().unwrap();
    let registry = registry.path().to_str().unwrap();
    // Neither the end of its input nor a signal to the group ends it.
    let stray = "setsid sh -c 'echo $$ > stray; exec sleep 1000' </dev/null >/dev/null 2>&1 &";
    let mut killed = Instance::start(stray, &["--registry", registry], &[]);
    let server = server_of(&mut killed);
    let file = killed.dir.path().join("stray");
    let read = || {
        std::fs::read_to_string(&file)
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    };
    eventually("it has started", || read().is_some()).await;
    let stray = read().unwrap();
    killed.signal(Signal::KILL);
    gone(server).await;
    assert!(is_alive(stray), "it is out of reach");

    let mut next = Instance::fake(&["--registry", registry]);
    next.ready();
    assert!(!is_alive(stray), "it was ended before the start");
    next.send(r#"{"type":"cas/exit"}"#);
    next.rest();
    assert_eq!(std::fs::read_dir(registry).unwrap().count(), 0);
}

#[test]
fn a_registry_that_cant_be_used_is_an_error_and_no_more() {
    let mut instance = Instance::fake(&["--registry", "/dev/null/registry"]);
    let error = instance.event(|e| e["type"] == "cas/error");
    assert!(
        error["message"].as_str().unwrap().contains("registry"),
        "{error}"
    );
    instance.ready();
}

#[tokio::test]
async fn an_app_server_that_ignores_sigterm_is_killed_after_the_kill_timeout() {
    let mut instance = Instance::start("trap '' TERM INT", &["--kill-timeout-ms", "200"], &[]);
    let pid = server_of(&mut instance);
    instance.send(r#"{"type":"cas/exit"}"#);
    let events = instance.rest();
    let exit = events
        .iter()
        .find(|e| e["type"] == "cas/appServerExit")
        .unwrap();
    assert_eq!(exit["signal"], "SIGKILL");
    assert_eq!(instance.wait().code(), Some(0));
    gone(pid).await;
}

#[tokio::test]
async fn a_closed_stdout_ends_all_of_it_quietly_even_when_nothing_happens() {
    let dir = tempfile::tempdir().unwrap();
    let codex = crate::fake::executable(dir.path(), "");
    let mut child = crate::instance::command(&codex, dir.path())
        .arg("--read-only")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = {
        use std::io::BufRead as _;
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let ready = stdout
            .lines()
            .map(Result::unwrap)
            .find(|l| l.contains("cas/ready"))
            .unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        u32::try_from(ready["appServerPid"].as_u64().unwrap()).unwrap()
    };
    // Its stdin is still open, and no event is due.
    gone(pid).await;
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert!(out.status.success());
}

#[tokio::test]
async fn a_killed_proxy_leaves_no_app_server() {
    let mut instance = Instance::fake(&[]);
    let pid = server_of(&mut instance);
    instance.signal(Signal::KILL);
    gone(pid).await;
}

#[tokio::test]
async fn a_dead_parent_leaves_neither_proxy_nor_app_server() {
    // What is left of a dead parent is the end of its pipe.
    let mut instance = Instance::fake(&[]);
    let pid = server_of(&mut instance);
    instance.close_stdin();
    gone(pid).await;
    assert_eq!(instance.wait().code(), Some(0));
}

#[tokio::test]
async fn an_app_server_that_ends_during_the_handshake_is_told_and_its_code_passed_on() {
    for (mode, code) in [("exit 3", 3), ("exit 0", 1)] {
        let mut instance = Instance::start("", &[], &[("FAKE_MODE", mode)]);
        let events = instance.rest();
        let types: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
        assert!(
            types.contains(&"cas/appServerExit") && types.contains(&"cas/error"),
            "{types:?}"
        );
        assert_eq!(instance.wait().code(), Some(code));
    }
}

#[tokio::test]
async fn an_app_server_that_never_answers_is_given_ten_seconds() {
    let mut instance = Instance::start("", &[], &[("FAKE_MODE", "silent")]);
    let started = std::time::Instant::now();
    let events = instance.rest();
    assert!(events.iter().any(|e| e["type"] == "cas/error"));
    assert_eq!(instance.wait().code(), Some(1));
    assert!(started.elapsed().as_secs() >= 9, "not before the deadline");
}

#[tokio::test]
async fn each_line_of_stderr_is_an_event() {
    let mut instance = Instance::fake(&[]);
    instance.ready();
    instance.send(
        r#"{"type":"cas/request","method":"fake/stderr","params":{"line":"something \"odd\""}}"#,
    );
    let event = instance.event(|e| e["type"] == "cas/appServerStderr");
    assert_eq!(event["line"], "something \"odd\"");
    // One that is empty, too.
    instance.send(r#"{"type":"cas/request","method":"fake/stderr","params":{"line":"a\n\nb"}}"#);
    for line in ["a", "", "b"] {
        let event = instance.event(|e| e["type"] == "cas/appServerStderr");
        assert_eq!(event["line"], line);
    }
}

#[tokio::test]
async fn the_last_messages_of_a_server_are_reported_before_its_end() {
    let mut instance = Instance::fake(&[]);
    instance.ready();
    instance.send(r#"{"type":"cas/request","method":"fake/flood","params":{"count":500}}"#);
    instance.send(r#"{"type":"cas/request","method":"fake/exit","params":{"code":5}}"#);
    let events = instance.rest();
    assert_eq!(
        events
            .iter()
            .filter(|e| e["method"] == "fake/flood" && e["type"] == "cas/fromServer")
            .count(),
        500
    );
    assert_eq!(events.last().unwrap()["type"], "cas/appServerExit");
    assert_eq!(instance.wait().code(), Some(5));
}

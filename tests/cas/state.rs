//! The state file, and what is remembered from one instance to the next.

use std::{fs, os::unix::fs::FileTypeExt as _};

use crate::instance::Instance;

#[test]
fn the_last_thread_is_kept_for_the_next_instance() {
    let mut first = Instance::fake(&[]);
    first.ready();
    first.send(r#"{"type":"cas/request","method":"x","params":{"threadId":"t-1"}}"#);
    first.event(|e| e["type"] == "cas/state" && e["kind"] == "updated");
    // Whoever has read the event finds the file as new.
    let file = first.dir.path().join("state.json");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        r#"{"v":1,"currentThreadId":"t-1"}"#
    );

    let mut second = Instance::fake(&["--state-file", file.to_str().unwrap()]);
    let loaded = second.event(|e| e["type"] == "cas/state");
    assert_eq!(
        (&loaded["kind"], &loaded["state"]["currentThreadId"]),
        (&"loaded".into(), &"t-1".into())
    );
}

#[test]
fn a_state_file_that_cant_be_written_is_an_error_and_no_more() {
    let mut instance = Instance::fake(&["--state-file", "/dev/null/nowhere/state.json"]);
    instance.ready();
    instance.send(r#"{"type":"cas/request","method":"x","params":{"threadId":"t-1"}}"#);
    let error = instance.event(|e| e["type"] == "cas/error");
    assert!(
        error["stateFile"].as_str().unwrap().contains("nowhere"),
        "{error}"
    );
    instance.send(r#"{"type":"cas/state/get"}"#);
    let state = instance.event(|e| e["type"] == "cas/state" && e["kind"] == "get");
    assert_eq!(state["state"]["currentThreadId"], "t-1");
}

#[test]
fn a_heartbeat_is_a_stats_event_now_and_then() {
    let mut instance = Instance::fake(&["--heartbeat-ms", "50"]);
    instance.ready();
    for _ in 0..3 {
        let stats = instance.event(|e| e["type"] == "cas/stats");
        assert_eq!(
            (&stats["kind"], &stats["snapshot"]["ready"]),
            (&"heartbeat".into(), &true.into())
        );
    }
}

#[test]
fn a_state_file_that_could_not_be_written_is_written_when_it_can_be() {
    let dir = tempfile::tempdir().unwrap();
    // As when the disk is full: the directory can't be made.
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let file = blocked.join("state.json");
    let mut instance = Instance::fake(&["--state-file", file.to_str().unwrap()]);
    instance.ready();
    instance.send(r#"{"type":"cas/request","method":"x","params":{"threadId":"t-1"}}"#);
    instance.event(|e| e["type"] == "cas/error");
    fs::remove_file(&blocked).unwrap();
    // Nothing else happens, and it is not told again.
    let written = || fs::read_to_string(&file).is_ok_and(|text| text.contains("t-1"));
    let mut tries = 0;
    while !written() {
        tries += 1;
        assert!(tries < 3_000, "it is not written");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    instance.send(r#"{"type":"cas/exit"}"#);
    assert!(instance.rest().iter().all(|e| e["type"] != "cas/error"));
}

#[test]
fn a_state_file_that_failed_is_tried_once_more_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let file = blocked.join("state.json");
    let mut instance = Instance::fake(&["--state-file", file.to_str().unwrap()]);
    instance.ready();
    instance.send(r#"{"type":"cas/request","method":"x","params":{"threadId":"t-1"}}"#);
    instance.event(|e| e["type"] == "cas/error");
    fs::remove_file(&blocked).unwrap();
    instance.send(r#"{"type":"cas/exit"}"#);
    instance.rest();
    assert!(fs::read_to_string(&file).unwrap().contains("t-1"));
}

#[test]
fn a_pipe_in_the_place_of_the_state_file_is_neither_waited_for_nor_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("state.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut instance = Instance::fake(&["--state-file", pipe.to_str().unwrap()]);
    instance.ready();
    instance.send(r#"{"type":"cas/request","method":"x","params":{"threadId":"t-1"}}"#);
    let error = instance.event(|e| e["type"] == "cas/error");
    assert!(
        error["error"].as_str().unwrap().contains("regular file"),
        "{error}"
    );
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn an_empty_thread_id_is_none() {
    let mut instance = Instance::fake(&[]);
    instance.ready();
    for id in ["t-1", ""] {
        let request =
            format!(r#"{{"type":"cas/request","method":"x","params":{{"threadId":"{id}"}}}}"#);
        instance.send(&request);
        instance.event(|e| e["requestMethod"] == "x");
    }
    instance.send(r#"{"type":"cas/state/get"}"#);
    let state = instance.event(|e| e["type"] == "cas/state" && e["kind"] == "get");
    assert_eq!(state["state"]["currentThreadId"], "t-1");
}

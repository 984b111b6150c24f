//! The state file, and what is remembered from one instance to the next.

use std::fs;

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

//! `cas proxy` as a program with pipes, without signals.

use serde_json::{Value, json};

use crate::instance::Instance;

pub fn an_instance_ends_with_the_end_of_its_commands() {
    let mut instance = Instance::fake(&[]);
    instance.ready();
    instance.close_stdin();
    let last = instance.rest().pop().unwrap();
    assert_eq!(last["type"], "cas/appServerExit");
    assert_eq!(instance.wait().code(), Some(0));
}

pub fn text_beyond_ascii_comes_through_the_pipes() {
    let mut instance = Instance::fake(&[]);
    instance.ready();
    let params = json!({"text": "Zeichen: ä 中 🦀"});
    let command =
        json!({"type": "cas/request", "id": "r", "method": "fake/echo", "params": params});
    instance.send(&command.to_string());
    let answer: Value = instance.event(|event| {
        event["type"] == "cas/fromServer" && event["msg"]["result"]["params"] == params
    });
    assert_eq!(answer["kind"], "response");
}

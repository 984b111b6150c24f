//! What the proxy approves, and that it says so where people look.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::{
    fake,
    instance::{self, Instance},
};

/// Has the server ask, and returns the answer that it gets, or `None` if the orchestrator is asked.
fn answer(instance: &mut Instance, params: &Value) -> Option<Value> {
    let method = "item/commandExecution/requestApproval";
    let request = json!({"method": method, "id": 77, "params": params}).to_string();
    let say = json!({"type": "cas/request", "method": "fake/say", "params": {"lines": [request]}});
    instance.send(&say.to_string());
    let event =
        instance.event(|e| e["type"] == "cas/serverRequest" || e["reason"] == "autoApproval");
    (event["type"] != "cas/serverRequest").then(|| event["msg"]["result"]["decision"].clone())
}

#[test]
fn the_proxy_answers_within_what_is_offered_and_leaves_to_people_what_is_marked_for_them() {
    let mut auto = Instance::fake(&[]);
    auto.ready();
    let rule = json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["find"]}});
    for (params, decision) in [
        (
            json!({"availableDecisions": ["decline", "cancel"]}),
            json!("decline"),
        ),
        (
            json!({"availableDecisions": ["accept", "decline"]}),
            json!("accept"),
        ),
        (
            json!({"proposedExecpolicyAmendment": ["find"], "availableDecisions": ["accept", rule, "decline"]}),
            rule.clone(),
        ),
        (
            json!({"proposedExecpolicyAmendment": ["find"], "availableDecisions": ["accept", "decline"]}),
            json!("accept"),
        ),
        (
            json!({"proposedExecpolicyAmendment": [""]}),
            json!("acceptForSession"),
        ),
        // The contract has commands approved whatever they ask for beside.
        (
            json!({"networkApprovalContext": {"host": "x.org", "protocol": "https"}}),
            json!("acceptForSession"),
        ),
        (
            json!({"additionalPermissions": {"network": {"enabled": true}}}),
            json!("acceptForSession"),
        ),
    ] {
        assert_eq!(answer(&mut auto, &params), Some(decision), "{params}");
    }
    for params in [
        json!({"kind": "humanCommand", "availableDecisions": ["accept", "decline"]}),
        json!({"kind": "humanCommand", "proposedExecpolicyAmendment": ["find"]}),
        json!({"availableDecisions": "accept"}),
    ] {
        assert_eq!(answer(&mut auto, &params), None, "{params}");
        auto.send(r#"{"type":"cas/respond","id":77,"result":{"decision":"decline"}}"#);
        let sent = auto.event(|e| e["type"] == "cas/toServer" && e["id"] == 77);
        assert_eq!(sent["reason"], "clientResponse");
    }
    let mut read_only = Instance::fake(&["--read-only"]);
    read_only.ready();
    let human = json!({"kind": "humanCommand"});
    assert_eq!(answer(&mut read_only, &human), Some(json!("decline")));
}

fn started(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn stderr(flags: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "exec 2>/dev/null");
    let out = started(instance::command(&codex, dir.path()).args(flags));
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stderr).unwrap()
}

#[test]
fn a_proxy_says_once_on_stderr_what_it_approves_and_that_rules_outlive_it() {
    let told = stderr(&[]);
    assert_eq!(told.lines().count(), 1, "{told}");
    for part in [
        "approves every command, file change, skill unasked",
        "outlives this process",
        "--exec-approval acceptForSession",
        "--read-only",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let told = stderr(&[
        "--exec-approval",
        "acceptForSession",
        "--file-approval",
        "cancel",
    ]);
    assert!(
        told.contains("every command, skill unasked") && !told.contains("outlives"),
        "{told}"
    );
    let declining = [
        "--exec-approval",
        "decline",
        "--file-approval",
        "cancel",
        "--skill-approval",
        "decline",
    ];
    assert_eq!(stderr(&declining), "");
    assert_eq!(stderr(&["--read-only"]), "");
}

#[test]
fn many_instances_say_it_once_and_the_help_says_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let codex = fake::executable(dir.path(), "exec 2>/dev/null");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    command.arg("instance-runner").arg("--codex").arg(&codex);
    command
        .arg("--cwd")
        .arg(dir.path())
        .args(["--instances", "3", "--method", "x/y"]);
    let out = started(&mut command);
    let told = String::from_utf8(out.stderr).unwrap();
    assert_eq!(told.matches("approves every command").count(), 1, "{told}");

    let help = started(Command::new(env!("CARGO_BIN_EXE_cas")).args(["proxy", "--help"]));
    let help = String::from_utf8(help.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "By default every command, file change and skill is approved",
        "in every later process",
        "`--exec-approval acceptForSession` is the safer way",
        "to reach a host, or to write elsewhere",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

//! Policies against the real codex, and the audit.

use std::sync::{Arc, Mutex};

use cas_sdk::{
    CasClient,
    handlers::{ApprovalRequest, Decision, HandlerError},
    policy::{Audit, DecidedBy, Policy, Rule},
    testing::Reply,
};
use serde_json::{Value, json};

use crate::{
    approvals::{config, escalated},
    common::raw::RawServer,
    common::{Rig, codex_test_with, within},
    item, start, turn,
};

type Audits = Arc<Mutex<Vec<Audit>>>;

fn audit() -> (Audits, impl Fn(&Audit) + Send + Sync + 'static) {
    let audits = Audits::default();
    let told = audits.clone();
    (audits, move |audit: &Audit| {
        told.lock().unwrap().push(audit.clone());
    })
}

/// One turn in which the model wants to run a command, under a policy. Returns the item.
async fn run(rig: &Rig, policy: Policy, command: &str) -> (Value, Audit) {
    let (audits, audit) = audit();
    rig.model.reply(escalated("c-1", command));
    rig.model.reply(Reply::text("done"));
    let client = rig
        .builder()
        .approvals(policy)
        .handlers(cas_sdk::Handlers::new().audit(audit))
        .spawn()
        .await
        .unwrap();
    let thread = start(&client).await;
    let outcome = turn(&thread).await;
    client.shutdown().await;
    let told = audits.lock().unwrap().pop().expect("one decision");
    assert!(audits.lock().unwrap().is_empty());
    assert_eq!(told.thread_id.as_deref(), Some(thread.id()));
    assert_eq!(
        (told.method.as_str(), told.item_id.as_deref()),
        ("item/commandExecution/requestApproval", Some("c-1"))
    );
    assert!(told.params.contains(command), "{}", told.params);
    (item(&outcome, "c-1"), told)
}

#[tokio::test]
async fn rules_let_a_command_run_or_not_and_the_audit_says_which() {
    codex_test_with(config, 120, async |rig| {
        let policy = || {
            Policy::auto()
                .rule(Rule::decline().command("rm").named("no rm"))
                .rule(
                    Rule::accept()
                        .command("echo")
                        .command("true")
                        .cwd(rig.home.work_dir())
                        .named("harmless"),
                )
                .rule(Rule::decline().command("echo").named("no other echo"))
        };
        for (command, status, rule, decision) in [
            ("echo hi && true", "completed", "harmless", "accept"),
            ("echo hi && rm -f x", "declined", "no rm", "decline"),
            ("echo hi > out", "declined", "no other echo", "decline"),
            (
                "touch x",
                "completed",
                "Policy::auto",
                r#"{"decision":"accept"}"#,
            ),
        ] {
            let (item, audit) = run(&rig, policy(), command).await;
            assert_eq!(item["status"], status, "{command}");
            assert!(
                matches!(&audit.by, DecidedBy::Rule(name) if name == rule),
                "{command}: {:?}",
                audit.by
            );
            assert!(audit.answer.contains(decision), "{}", audit.answer);
        }
        assert!(!rig.home.work_dir().join("out").exists());
    })
    .await;
}

#[tokio::test]
async fn a_request_that_no_rule_decides_is_the_handlers_or_nobodys() {
    codex_test_with(config, 120, async |rig| {
        let handler = |_: ApprovalRequest, _cx| async { Ok(Decision::Accept) };
        let rules = || Rule::decline().command("rm");
        let (item, audit) = run(&rig, Policy::from(handler).rule(rules()), "echo hi").await;
        assert_eq!(item["status"], "completed");
        assert!(matches!(audit.by, DecidedBy::Handler), "{:?}", audit.by);
        let failing = |_: ApprovalRequest, _cx| async { Err(HandlerError::new("nobody is there")) };
        let (item, audit) = run(&rig, failing.into(), "echo hi").await;
        assert_eq!(item["status"], "declined");
        assert!(
            matches!(&audit.by, DecidedBy::Failure(e) if e.to_string() == "nobody is there"),
            "{:?}",
            audit.by
        );
        let (item, audit) = run(&rig, Policy::rules([rules()]), "echo hi").await;
        assert_eq!(item["status"], "declined");
        assert!(matches!(audit.by, DecidedBy::Default), "{:?}", audit.by);
    })
    .await;
}

#[tokio::test]
async fn an_audit_that_panics_does_not_keep_the_answer_from_the_server() {
    within(30, async {
        let builder = CasClient::builder()
            .handlers(cas_sdk::Handlers::new().audit(|_| panic!("the disk is full")));
        let (_client, mut peer) = RawServer::connect(builder).await;
        peer.request(
            1,
            "skill/requestApproval",
            json!({"itemId": "i", "skillName": "s"}),
        )
        .await;
        assert_eq!(peer.next().await["result"], json!({"decision": "decline"}));
    })
    .await;
}

#[tokio::test]
async fn only_decisions_are_audited() {
    within(30, async {
        let (audits, audit) = audit();
        let (_client, mut peer) = RawServer::connect(
            CasClient::builder().handlers(cas_sdk::Handlers::new().audit(audit)),
        )
        .await;
        for method in [
            "currentTime/read",
            "item/tool/requestUserInput",
            "something/new",
            "skill/requestApproval",
            "mcpServer/elicitation/request",
        ] {
            peer.request(1, method, json!({"threadId": "t"})).await;
            peer.next().await;
        }
        let told = audits.lock().unwrap();
        let methods: Vec<_> = told.iter().map(|a| a.method.as_str()).collect();
        assert_eq!(
            methods,
            ["skill/requestApproval", "mcpServer/elicitation/request"]
        );
    })
    .await;
}

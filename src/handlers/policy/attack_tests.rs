//! Requests by which a model, a repository or an MCP server tries to get more than the rules
//! permit.

use serde_json::{Value, json};

use super::*;
use crate::handlers::method::Approval;

const COMMAND: Approval = Approval::Command;
const FILES: Approval = Approval::FileChange;
const PERMISSIONS: Approval = Approval::Permissions;
const SKILL: Approval = Approval::Skill;

pub(super) fn facts(params: &Value) -> Facts {
    Facts::read(COMMAND, &params.to_string(), None)
}

pub(super) fn wrapped(script: &str) -> String {
    format!("/bin/bash -lc '{}'", script.replace('\'', r"'\''"))
}

pub(super) fn command(script: &str) -> Facts {
    facts(&json!({"threadId": "t", "cwd": "/repo", "command": wrapped(script)}))
}

pub(super) fn decided(rule: &Rule, facts: &Facts) -> Option<Decision> {
    let policy = Policy::rules([rule.clone()]);
    policy.decide(facts).map(|ruling| ruling.decision)
}

#[test]
fn an_empty_name_in_a_rule_accepts_nothing() {
    let skill = |name: &str| Facts::read(SKILL, &json!({"skillName": name}).to_string(), None);
    for words in ["", " ", "\t", "\n"] {
        for script in ["ls", "rm -rf x", "''", ""] {
            let rule = Rule::accept().command(words);
            assert_eq!(
                decided(&rule, &command(script)),
                None,
                "{words:?} {script:?}"
            );
            let rule = Rule::accept().exact_command(words);
            assert_eq!(
                decided(&rule, &command(script)),
                None,
                "{words:?} {script:?}"
            );
        }
    }
    assert!(decided(&Rule::accept().command("").command("ls"), &command("ls")).is_some());
    assert_eq!(decided(&Rule::accept().skill(""), &skill("deploy")), None);
    assert_eq!(decided(&Rule::accept().skill(""), &skill("")), None);
    assert_eq!(decided(&Rule::accept().skill("*"), &skill("")), None);
    let nameless = facts(&json!({"threadId": "", "command": "ls"}));
    assert_eq!(decided(&Rule::accept().thread(""), &nameless), None);
    assert_eq!(
        decided(&Rule::accept().command("ls").cwd(""), &command("ls")),
        None
    );
    let changes = json!([{"path": "/etc/x", "kind": {"type": "add"}, "diff": ""}]);
    let change = Facts::read(FILES, r#"{"threadId":"t"}"#, Some(&changes));
    assert_eq!(decided(&Rule::accept().within(""), &change), None);
}

#[test]
fn permissions_and_hosts_are_accepted_only_by_a_rule_that_names_them() {
    let network = facts(
        &json!({"threadId": "t", "cwd": "/repo", "command": wrapped("ls"), "networkApprovalContext": {"host": "h", "protocol": "https"}}),
    );
    let profile = json!({"fileSystem": {"write": ["/repo/x"]}});
    let asked = json!({"threadId": "t", "cwd": "/repo", "permissions": profile}).to_string();
    let permissions = Facts::read(PERMISSIONS, &asked, None);
    let besides = facts(
        &json!({"threadId": "t", "cwd": "/repo", "command": wrapped("ls"), "additionalPermissions": profile}),
    );
    let changes = json!([{"path": "/repo/a", "kind": {"type": "add"}, "diff": ""}]);
    let root = Facts::read(FILES, r#"{"threadId":"t","grantRoot":"/"}"#, Some(&changes));
    let all = [network, permissions, besides, root];
    for rule in [
        Rule::accept(),
        Rule::accept().cwd("/repo"),
        Rule::accept().thread("t"),
        Rule::accept().cwd("/").thread("t"),
        Rule::accept().on(Subject::Command),
        Rule::accept()
            .on(Subject::Command)
            .on(Subject::FileChange)
            .on(Subject::Stdin),
        Rule::accept().command("ls"),
    ] {
        for facts in &all {
            assert_eq!(decided(&rule, facts), None, "{rule:?} {facts:?}");
        }
    }
    for facts in &all {
        for policy in [Policy::auto(), Policy::auto_persistent()] {
            assert!(policy.decide(facts).is_none(), "{policy:?} {facts:?}");
        }
    }
    let [network, permissions, besides, root] = &all;
    assert!(decided(&Rule::accept().on(Subject::Network), network).is_some());
    assert!(decided(&Rule::accept().host("h"), network).is_some());
    assert!(decided(&Rule::accept().on(Subject::Permissions), permissions).is_some());
    assert!(decided(&Rule::accept().permission(Permission::Write), permissions).is_some());
    assert!(decided(&Rule::accept().within("/repo"), permissions).is_some());
    assert!(
        decided(
            &Rule::accept().command("ls").permission(Permission::Write),
            besides
        )
        .is_some()
    );
    assert!(
        decided(
            &Rule::accept().on(Subject::Command).within("/repo"),
            besides
        )
        .is_some()
    );
    assert!(
        decided(&Rule::accept().within("/repo"), root).is_none(),
        "it asks for /"
    );
    assert!(decided(&Rule::accept().within("/"), root).is_some());
    for (rule, facts) in [
        (Rule::decline().on(Subject::Permissions), besides),
        (Rule::decline().permission(Permission::Write), root),
        (Rule::decline().permission(Permission::Network), network),
        (Rule::decline().command("ls"), network),
    ] {
        assert!(decided(&rule, facts).is_some(), "{rule:?}");
    }
}

#[test]
fn a_network_rule_is_for_its_host() {
    let asked = |host: Value| {
        facts(
            &json!({"threadId": "t", "command": "curl", "networkApprovalContext": {"host": host, "protocol": "https"}}),
        )
    };
    let rule = Rule::accept_for_session()
        .host("github.com")
        .host("*.crates.io");
    for host in [
        "github.com",
        "GitHub.COM",
        "github.com.",
        "static.crates.io",
        "a.b.crates.io",
    ] {
        assert!(decided(&rule, &asked(json!(host))).is_some(), "{host}");
    }
    for host in [
        "evil.com",
        "notgithub.com",
        "github.com.evil.com",
        "api.github.com",
        "crates.io",
        "evilcrates.io",
        ".crates.io",
        "",
        ".",
        "github.com:22",
        "github.com/x",
        " github.com",
        "*.crates.io.evil",
    ] {
        assert_eq!(decided(&rule, &asked(json!(host))), None, "{host}");
    }
    for odd in [json!(null), json!(7), json!(["github.com"]), json!({})] {
        assert_eq!(decided(&rule, &asked(odd.clone())), None, "{odd}");
    }
    assert_eq!(decided(&Rule::accept().host(""), &asked(json!(""))), None);
    assert_eq!(
        decided(&Rule::accept().host("*."), &asked(json!("evil."))),
        None
    );
    assert!(decided(&Rule::decline().host("evil.com"), &asked(json!("EVIL.com"))).is_some());
    assert!(
        decided(&Rule::decline().host("evil.com"), &asked(json!(7))).is_some(),
        "it may be"
    );
    let amend = |host: &str| {
        let host = host.to_owned();
        Rule::new(Decision::ApplyNetworkPolicyAmendment { allow: true, host })
    };
    assert!(decided(&amend("github.com"), &asked(json!("github.com"))).is_some());
    assert_eq!(
        decided(&amend("github.com"), &asked(json!("evil.com"))),
        None
    );
    assert_eq!(decided(&amend("github.com"), &command("ls")), None);
    assert_eq!(
        decided(&amend("github.com").cwd("/"), &asked(json!("github.com"))),
        None,
        "it has no working directory"
    );
    let narrowed = amend("github.com").thread("t");
    assert_eq!(
        decided(&narrowed, &asked(json!("github.com"))),
        Some(Decision::AcceptForSession),
        "an amendment is for all threads"
    );
}

#[test]
fn a_refused_directory_is_not_granted_by_one_above_it() {
    let rule = Rule::decline().within("/no/such/secret");
    let ask = |profile: Value| {
        let params =
            json!({"threadId": "t", "cwd": "/repo", "permissions": {"fileSystem": profile}});
        Facts::read(PERMISSIONS, &params.to_string(), None)
    };
    for path in [
        "/",
        "/no",
        "/no/such",
        "/no/such/",
        "/no/such/secret",
        "/no/such/secret/x",
        "/no/such/secret/../..",
        "//no/such",
        "/no/./such",
        "",
        "relative",
        "~",
    ] {
        for profile in [
            json!({"write": [path]}),
            json!({"read": [path]}),
            json!({"write": ["/repo", path]}),
            json!({"entries": [{"path": {"type": "path", "path": path}, "access": "read"}]}),
        ] {
            assert!(decided(&rule, &ask(profile.clone())).is_some(), "{profile}");
        }
        let root = Facts::read(
            FILES,
            &json!({"grantRoot": path}).to_string(),
            Some(&json!([{"path": "/repo/a", "kind": {}}])),
        );
        assert!(decided(&rule, &root).is_some(), "{path}");
        let besides = facts(
            &json!({"command": "ls", "additionalPermissions": {"fileSystem": {"write": [path]}}}),
        );
        assert!(decided(&rule, &besides).is_some(), "{path}");
    }
    for glob in [
        json!({"type": "glob_pattern", "pattern": "/no/**"}),
        json!({"type": "special", "value": "root"}),
        json!(7),
    ] {
        let profile = json!({"entries": [{"path": glob, "access": "write"}]});
        assert!(decided(&rule, &ask(profile.clone())).is_some(), "{profile}");
    }
    assert_eq!(
        decided(
            &rule,
            &ask(json!({"write": ["/no/such/other", "/no/such/secrets"]}))
        ),
        None
    );
    let accepting = Rule::accept().within("/no/such/secret");
    assert_eq!(
        decided(&accepting, &ask(json!({"write": ["/no/such"]}))),
        None
    );
}

#[test]
fn an_unreadable_request_is_accepted_by_nobody_and_refused_by_every_rule() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let lines = [
        r#"{"threadId":"t","command":"ls","command":"ls"}"#.to_owned(),
        r#"{"threadId":"t","command":"rm x","c\u006fmmand":"ls"}"#.to_owned(),
        r#"{"threadId":"t","threadId":"u","command":"ls"}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","kind":"humanCommand","kind":"command"}"#.to_owned(),
        r#"{"threadId":"t","command":["ls"]}"#.to_owned(),
        r#"{"threadId":"t","command":{"0":"ls"}}"#.to_owned(),
        r#"{"threadId":"t","command":7}"#.to_owned(),
        r#"{"threadId":7,"command":"ls"}"#.to_owned(),
        r#"{"threadId":["t"],"command":"ls"}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","cwd":7}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","kind":7}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","kind":["command"]}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","additionalPermissions":["network"]}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","additionalPermissions":true}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","networkApprovalContext":"github.com"}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","networkApprovalContext":{}}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","availableDecisions":"accept"}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","availableDecisions":{"0":"accept"}}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","proposedExecpolicyAmendment":"ls"}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","proposedExecpolicyAmendment":[1]}"#.to_owned(),
        r#"{"threadId":"t","command":"ls","proposedNetworkPolicyAmendments":{}}"#.to_owned(),
        format!(r#"{{"threadId":"t","command":"ls","x":{deep}}}"#),
        r#"{"threadId":"t","command":"ls""#.to_owned(),
        r#"["ls"]"#.to_owned(),
        r#""ls""#.to_owned(),
        "null".to_owned(),
        String::new(),
    ];
    let refusals = [
        Rule::decline(),
        Rule::decline().command("rm"),
        Rule::decline().on(Subject::Permissions),
        Rule::decline().within("/no/such"),
        Rule::decline().permission(Permission::Write),
        Rule::decline().host("evil.com"),
        Rule::decline().mcp_server("x"),
        Rule::decline().skill("x"),
        Rule::decline().thread("x"),
        Rule::decline().cwd("/no/such"),
    ];
    for line in &lines {
        let facts = Facts::read(COMMAND, line, None);
        assert!(facts.unreadable && facts.subject.is_none(), "{line}");
        for rule in [
            Rule::accept(),
            Rule::accept().command("ls"),
            Rule::accept().on(Subject::Command),
            Rule::accept().thread("t"),
        ] {
            assert_eq!(decided(&rule, &facts), None, "{line}");
        }
        assert!(Policy::auto().decide(&facts).is_none(), "{line}");
        for rule in &refusals {
            assert_eq!(
                decided(rule, &facts),
                Some(Decision::Decline),
                "{line} {rule:?}"
            );
        }
        for wanted in [
            Decision::Accept,
            Decision::AcceptForSession,
            Decision::AcceptAlways,
        ] {
            assert_eq!(facts.command_decision(&wanted, &[]), "decline", "{line}");
        }
    }
    for (method, line) in [
        (FILES, r#"{"grantRoot":["/"]}"#),
        (PERMISSIONS, r#"{"permissions":["network"]}"#),
        (PERMISSIONS, r#"{"permissions":"all"}"#),
        (SKILL, r#"{"skillName":["x"]}"#),
    ] {
        let facts = Facts::read(method, line, None);
        assert!(facts.unreadable, "{line}");
        assert_eq!(decided(&Rule::accept(), &facts), None, "{line}");
    }
}

#[test]
fn params_that_are_null_or_absent_are_as_if_they_were_not_there() {
    let null = r#"{"threadId":"t","command":"ls","cwd":null,"kind":null,"additionalPermissions":null,"networkApprovalContext":null,"availableDecisions":null,"proposedExecpolicyAmendment":null,"proposedNetworkPolicyAmendments":null}"#;
    for line in [
        null,
        r#"{"threadId":"t","command":"ls"}"#,
        r#"{"thread\u0049d":"\u0074","command":"\u006cs"}"#,
    ] {
        let facts = Facts::read(COMMAND, line, None);
        let rule = Rule::accept().command("ls").thread("t");
        assert_eq!(decided(&rule, &facts), Some(Decision::Accept), "{line}");
    }
    assert_eq!(
        decided(
            &Rule::accept().command("ls"),
            &facts(&json!({"threadId": "t"}))
        ),
        None,
        "no command"
    );
}

#[test]
fn a_rule_accepts_in_another_environment_only_if_it_names_that() {
    let asked = |environment: Value| {
        facts(&json!({
            "threadId": "t", "cwd": "/repo", "command": wrapped("ls"), "environmentId": environment,
        }))
    };
    let ls = || Rule::accept().command("ls");
    for here in [json!("local"), Value::Null] {
        assert_eq!(decided(&ls(), &asked(here.clone())), Some(Decision::Accept));
        assert_eq!(decided(&ls().environment("build-*"), &asked(here)), None);
    }
    let there = asked(json!("build-1"));
    assert_eq!(decided(&ls(), &there), None);
    assert_eq!(decided(&ls().environment("build-2"), &there), None);
    for named in ["build-1", "build-*"] {
        let rule = ls().environment(named);
        assert_eq!(decided(&rule, &there), Some(Decision::Accept));
    }
    let refuse = Rule::decline().command("ls");
    assert_eq!(decided(&refuse, &there), Some(Decision::Decline));
    assert!(
        Policy::auto()
            .decide(&there)
            .is_none_or(|ruling| !ruling.decision.accepts())
    );
    assert_eq!(decided(&ls(), &asked(json!(7))), None, "it can't be read");
}

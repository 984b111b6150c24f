//! Requests by which a model, a repository or an MCP server would get more than the rules say.

use serde_json::{Value, json};

use super::*;

const COMMAND: &str = "item/commandExecution/requestApproval";
const FILES: &str = "item/fileChange/requestApproval";
const PERMISSIONS: &str = "item/permissions/requestApproval";
const SKILL: &str = "skill/requestApproval";

fn facts(params: &Value) -> Facts {
    Facts::read(COMMAND, &params.to_string(), None)
}

fn wrapped(script: &str) -> String {
    format!("/bin/bash -lc '{}'", script.replace('\'', r"'\''"))
}

fn command(script: &str) -> Facts {
    facts(&json!({"threadId": "t", "cwd": "/repo", "command": wrapped(script)}))
}

fn decided(rule: &Rule, facts: &Facts) -> Option<Decision> {
    let policy = Policy::rules([rule.clone()]);
    policy.decide(facts).map(|ruling| ruling.decision)
}

/// What goes over the wire for a command whose amendment the model has chosen.
fn wire(policy: &Policy, script: &str, proposed: &Value) -> Value {
    let params = json!({"threadId": "t", "cwd": "/repo", "command": wrapped(script), "proposedExecpolicyAmendment": proposed});
    let facts = facts(&params);
    policy.decide(&facts).map_or(Value::Null, |ruling| {
        facts.command_decision(&ruling.decision, policy.shells())
    })
}

#[test]
fn no_preset_but_the_one_that_says_so_persists_anything() {
    for proposed in [
        json!(["find"]),
        json!(["touch", "x"]),
        json!([]),
        json!([""]),
    ] {
        for script in ["find . -name x", "touch x"] {
            assert_eq!(
                wire(&Policy::auto(), script, &proposed),
                "acceptForSession",
                "{script} {proposed}"
            );
        }
    }
    let touch = json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch", "x"]}});
    assert_eq!(
        wire(
            &Policy::auto_persistent(),
            "touch x",
            &json!(["touch", "x"])
        ),
        touch
    );
    for (script, proposed) in [
        ("find . -name x", json!(["find"])),
        ("find . -name x", json!(["find", "."])),
        ("/usr/bin/find . -name x", json!(["/usr/bin/find"])),
        ("python3 x.py", json!(["python3", "x.py"])),
        ("git -C . status", json!(["git", "-C"])),
        ("git status", json!(["git"])),
        ("touch x", json!([])),
        ("touch x", json!([""])),
        ("touch x", json!(["touch", ""])),
        ("touch x", json!(["rm"])),
        ("touch x && rm y", json!(["touch"])),
        ("touch $X", json!(["touch"])),
    ] {
        let word = wire(&Policy::auto_persistent(), script, &proposed);
        assert_eq!(word, "acceptForSession", "{script} {proposed}");
    }
}

#[test]
fn an_amendment_is_no_wider_than_the_rule_that_accepts_it() {
    let status = || Rule::accept_always().command("git status");
    let taken =
        json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["git", "status"]}});
    let longer =
        json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["git", "status", "-s"]}});
    let answer =
        |rule: Rule, script: &str, proposed: Value| wire(&Policy::rules([rule]), script, &proposed);
    assert_eq!(
        answer(status(), "git status -s", json!(["git", "status"])),
        taken
    );
    assert_eq!(
        answer(status(), "git status -s", json!(["git", "status", "-s"])),
        longer
    );
    assert_eq!(
        answer(status(), "git status; git status", json!(["git", "status"])),
        taken
    );
    for (rule, script, proposed) in [
        (status(), "git status", json!(["git"])),
        (status(), "git status", json!([])),
        (status(), "git status", json!([""])),
        (status(), "git status", json!(["git", ""])),
        (status(), "git status", json!(["", "git", "status"])),
        (status(), "git status", json!(["git status"])),
        (status(), "git status", json!(["/usr/bin/git", "status"])),
        (status(), "git status", json!(["GIT", "status"])),
        (status(), "git status", json!(["git", "status", "x"])),
        (
            status(),
            "git status -s && git status",
            json!(["git", "status", "-s"]),
        ),
        (
            status().command("ls"),
            "git status && ls",
            json!(["git", "status"]),
        ),
        (
            status().cwd("/repo"),
            "git status",
            json!(["git", "status"]),
        ),
        (status().thread("t"), "git status", json!(["git", "status"])),
        (
            Rule::accept_always().exact_command("git status"),
            "git status",
            json!(["git", "status"]),
        ),
    ] {
        let word = answer(rule, script, proposed.clone());
        assert_eq!(word, "acceptForSession", "{script} {proposed}");
    }
    let named = Decision::AcceptWithExecpolicyAmendment(vec!["git".to_owned()]);
    let rule = Rule::new(named).command("git status");
    assert_eq!(
        answer(rule, "git status", json!(["git"])),
        "acceptForSession"
    );
    for odd in [
        json!("git status"),
        json!([["git"]]),
        json!([1]),
        json!({"0": "git"}),
        json!(true),
    ] {
        assert_eq!(
            answer(status(), "git status", odd.clone()),
            Value::Null,
            "{odd}"
        );
    }
}

#[test]
fn a_rule_for_a_subcommand_takes_no_other_spelling_of_the_program() {
    let rule = Rule::accept().command("git status");
    for script in [
        "git -C / status",
        "git -c core.fsmonitor=x status",
        "git --exec-path=x status",
        "git --no-pager status",
        "FOO=bar git status",
        "GIT_SSH_COMMAND=x git status",
        "env git status",
        "command git status",
        "/usr/bin/git status",
        "./git status",
        "../git status",
        "GIT status",
        "git STATUS",
        "git  -- status",
        "git status\nid",
        "git status; id",
        "git status | id",
        "git status & id",
        "git status > x",
        "git status $(id)",
        "git status `id`",
        "git status <(id)",
        "git status *",
        "git status {a,b}",
        "git status ~",
        "(git status)",
        "{ git status; }",
        "[[ x ]] && git status",
        "if git status; then id; fi",
        "git status <<E\nE",
        "git status # x",
        "! git status",
        "$(git status)",
        "git sta*",
        "git status\r",
        "git\u{a0}status",
        "'git status'",
        "git 'status '",
        "",
        " ",
        "''",
    ] {
        assert_eq!(decided(&rule, &command(script)), None, "{script}");
    }
    for script in [
        "git status",
        " git  status ",
        r"\git status",
        "\"git\" status",
        "'git' sta'tus' -s",
    ] {
        assert_eq!(
            decided(&rule, &command(script)),
            Some(Decision::Accept),
            "{script}"
        );
    }
    let exact = Rule::accept().exact_command("git status");
    assert_eq!(
        decided(&exact, &command("git status && git status")),
        Some(Decision::Accept)
    );
    assert_eq!(decided(&exact, &command("git status -s")), None);
}

#[test]
fn only_the_systems_shells_are_looked_into() {
    let rule = Rule::accept().command("git status");
    for shell in [
        "./bash",
        "bash",
        "/tmp/sh",
        "/bin/../tmp/sh",
        "~/bash",
        "bin/bash",
        "/opt/bash",
        "/bin/bash2",
    ] {
        let line = format!("{shell} -lc 'git status'");
        let asked = facts(&json!({"threadId": "t", "command": line}));
        assert_eq!(decided(&rule, &asked), None, "{line}");
        let refused = Rule::decline().command("git status");
        assert_eq!(decided(&refused, &asked), Some(Decision::Decline), "{line}");
    }
    let asked = facts(&json!({"threadId": "t", "command": "/opt/bash -lc 'git status'"}));
    let own = Policy::rules([rule]).shell("/opt/bash");
    assert!(own.decide(&asked).is_some());
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
fn what_outlasts_a_command_is_accepted_only_by_a_rule_that_names_it() {
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
fn what_cannot_be_read_is_accepted_by_nobody_and_refused_by_every_rule() {
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
fn a_line_of_any_length_and_depth_is_decided_in_bounded_work() {
    let rule = Rule::accept().command("ls");
    let refuse = Rule::decline().command("rm");
    let long = |piece: &str| piece.repeat(16 * 1024 * 1024 / piece.len());
    for script in [long("a"), long("ls;"), long("'"), long("$("), long("\"$(")] {
        let asked = facts(&json!({"threadId": "t", "command": script}));
        assert_eq!(decided(&rule, &asked), None);
        assert_eq!(decided(&refuse, &asked), Some(Decision::Decline));
    }
    let most = |piece: &str| piece.repeat(60_000 / piece.len());
    for script in [
        most("\"$("),
        most("$("),
        most("`"),
        most("'\\''"),
        most("\"\\\""),
        most("<<E\n"),
        most("${"),
        most("git "),
        most("git -a push "),
    ] {
        let asked = facts(&json!({"threadId": "t", "command": script}));
        assert_eq!(decided(&rule, &asked), None);
        decided(&Rule::decline().command("git -x push y"), &asked);
    }
}

#[test]
fn a_rule_that_accepts_a_program_that_runs_others_says_so() {
    let warned = |rule: Rule| {
        let ruling = Policy::rules([rule])
            .decide(&command("git status"))
            .unwrap();
        ruling.warning.unwrap_or_default()
    };
    assert!(warned(Rule::accept().command("git")).contains("accepts `git`"));
    for rule in [
        Rule::accept().command("git status"),
        Rule::accept().exact_command("git status"),
        Rule::decline().command("git"),
        Rule::accept().on(Subject::Command),
    ] {
        assert_eq!(warned(rule), "");
    }
}

//! Commands and amendments by which a model tries to get more than the rules permit.

use serde_json::{Value, json};

use super::{
    attack_tests::{command, decided, facts, wrapped},
    *,
};

/// The decision on the wire for a command whose amendment the model has chosen.
fn wire(policy: &Policy, script: &str, proposed: &Value) -> Value {
    let params = json!({"threadId": "t", "cwd": "/repo", "command": wrapped(script), "proposedExecpolicyAmendment": proposed});
    let facts = facts(&params);
    policy.decide(&facts).map_or(Value::Null, |ruling| {
        facts.command_decision(&ruling.decision, policy.shells())
    })
}

#[test]
fn no_preset_but_auto_persistent_persists_anything() {
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
        ("git status", json!(["git", "status"])),
        ("./lint.sh", json!(["./lint.sh"])),
        ("nodejs x.js", json!(["nodejs"])),
        ("cargo +nightly run", json!(["cargo", "+nightly"])),
        ("npm exec x", json!(["npm", "exec"])),
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
        (
            status().exact_cwd("/repo"),
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
        Rule::accept().exact_command("git status").cwd("/repo"),
    ] {
        let rule = rule.named("status");
        assert!(warned(rule).contains("name the directory with exact_cwd"));
    }
    for rule in [
        Rule::accept().command("git status").exact_cwd("/repo"),
        Rule::decline().command("git"),
        Rule::accept().on(Subject::Command),
    ] {
        assert_eq!(warned(rule), "");
    }
}

use serde_json::{Value, json};

use super::*;
use crate::handlers::ElicitationRequest;
use crate::handlers::method::Approval;

const COMMAND: Approval = Approval::Command;
const FILES: Approval = Approval::FileChange;
const PERMISSIONS: Approval = Approval::Permissions;
const SKILL: Approval = Approval::Skill;

fn facts(approval: Approval, params: &Value) -> Facts {
    Facts::read(approval, &params.to_string(), None)
}

fn command(line: &str) -> Facts {
    let params = json!({"kind": "command", "threadId": "t", "cwd": "/repo/sub", "command": format!("/bin/bash -lc '{line}'")});
    facts(COMMAND, &params)
}

fn files(paths: &[&str]) -> Facts {
    let changes: Vec<_> = paths
        .iter()
        .map(|p| json!({"path": p, "kind": {"type": "add"}, "diff": ""}))
        .collect();
    Facts::read(
        FILES,
        &json!({"threadId": "t", "itemId": "i"}).to_string(),
        Some(&changes.into()),
    )
}

fn permissions(profile: &Value) -> Facts {
    facts(
        PERMISSIONS,
        &json!({"threadId": "t", "cwd": "/repo", "permissions": profile}),
    )
}

fn mcp(server: &str, tool: &str, annotations: &Value) -> Facts {
    let meta = json!({"codex_approval_kind": "mcp_tool_call", "tool_name": tool, "tool_annotations": annotations});
    let schema = json!({"type": "object", "properties": {}});
    let params = json!({"threadId": "t", "serverName": server, "mode": "form", "message": "", "requestedSchema": schema, "_meta": meta});
    let request = ElicitationRequest::parse(&params.to_string()).unwrap();
    Facts::of_elicitation(&request, true).unwrap()
}

fn decided(policy: &Policy, facts: &Facts) -> Option<Decision> {
    policy.decide(facts).map(|ruling| ruling.decision)
}

fn accepts(rule: Rule, facts: &Facts) -> bool {
    decided(&Policy::rules([rule]), facts).is_some()
}

#[test]
fn the_first_rule_that_matches_decides_and_is_named() {
    let policy = Policy::auto()
        .rule(Rule::decline().command("git push"))
        .rule(Rule::accept().command("git").named("git"));
    let by = |line: &str| {
        let ruling = policy.decide(&command(line)).unwrap();
        (ruling.decision, ruling.by)
    };
    assert_eq!(
        by("git push origin"),
        (Decision::Decline, "rule 1".to_owned())
    );
    assert_eq!(by("git status"), (Decision::Accept, "git".to_owned()));
    assert_eq!(
        by("ls"),
        (Decision::AcceptForSession, "Policy::auto".to_owned())
    );
}

#[test]
fn a_command_is_accepted_only_if_all_that_would_run_is_named() {
    let rule = || Rule::accept().command("git status").command("ls");
    for good in [
        "git status",
        "git status --short",
        "ls -la | ls",
        "git status && ls; ls",
    ] {
        assert!(accepts(rule(), &command(good)), "{good}");
    }
    for bad in [
        "git",
        "git stash",
        "lsof",
        "/bin/ls",
        "ls && rm -rf x",
        "ls | sh",
        "ls > out",
        "ls $(rm x)",
        "ls *",
        "X=1 ls",
        "sudo ls",
        "ls & rm x",
        "ls\nrm x",
    ] {
        assert!(!accepts(rule(), &command(bad)), "{bad}");
    }
}

#[test]
fn a_command_is_refused_wherever_the_words_stand() {
    let rule = || Rule::decline().command("rm").command("git push");
    for bad in [
        "rm x",
        "sudo rm x",
        "/bin/rm x",
        "ls && rm x",
        "echo $(rm x)",
        "git push -f",
        "ls; git push",
        "git -C . push",
        "/usr/bin/git --no-pager push",
        "X=1 git -c a=b -C \"my dir\" push origin",
        "env -i git push",
        "git-push",
        "/usr/lib/git-core/git-push x",
        "GIT push",
        "r\"\"m x",
        "r\\m x",
        "/b\"in/r\"m x",
        "\"rm\" x",
        "$\"rm\" x",
        "true\nrm x",
        "(rm x)",
        "{ rm x; }",
        "cat <(rm x)",
        "if true; then rm x; fi",
        "sh -c \"r\\\"\\\"m x\"",
        "bash <<E\nrm x\nE",
        "bash <<< \"rm x\"",
        "eval \"rm x\"",
        "echo x | xargs rm",
        "command rm x",
        "exec rm x",
        "\\rm x",
        "alias l=\"rm x\"; l",
        "f() { rm x; }; f",
        "$X x",
        "r? x",
        "/bin/r[m] x",
        "{rm,x}",
        "r{m,} x",
        "`echo rm` x",
        "$(echo rm) x",
        "env $X x",
        "sudo -n $X",
        "caffeinate -i $X",
        "linux32 $X",
        "eval \"$X\"",
        "git $X",
        "git -C . p${E}ush",
    ] {
        assert!(
            decided(&Policy::rules([rule()]), &command(bad)).is_some(),
            "{bad}"
        );
    }
    for good in [
        "ls",
        "echo farm",
        "git status",
        "git stash push",
        "git -C . status",
        "git commit -m push",
        "git commit -m \"a (b) [c] * d\"",
        "git commit -F - <<E\n* one $X\nE\n",
        "ls *.rs",
        "grep -rn \"fn (.*) {\" .",
        "echo $HOME",
        "[ -f x ] && ls",
        "[[ -f x ]] && ls",
        "X=$(date) ls",
        "$HOME/bin/tool x",
        "for f in *.rs; do cat $f; done",
    ] {
        assert!(
            decided(&Policy::rules([rule()]), &command(good)).is_none(),
            "{good}"
        );
    }
}

#[test]
fn permissions_beside_a_command_are_not_accepted_with_it() {
    let mut params = json!({"threadId": "t", "command": "ls", "additionalPermissions": {"network": {"enabled": true}}});
    let ls = || Rule::accept().command("ls");
    assert!(!accepts(ls(), &facts(COMMAND, &params)));
    assert!(accepts(
        ls().permission(Permission::Network),
        &facts(COMMAND, &params)
    ));
    assert!(
        !accepts(
            Rule::accept().permission(Permission::Network),
            &facts(COMMAND, &params)
        ),
        "that is not about the command"
    );
    params["additionalPermissions"] = json!({"teleport": true});
    assert!(!accepts(
        ls().permission(Permission::Network),
        &facts(COMMAND, &params)
    ));
    params["additionalPermissions"] = Value::Null;
    params["networkApprovalContext"] = json!({"host": "example.org", "protocol": "https"});
    assert!(
        !accepts(ls(), &facts(COMMAND, &params)),
        "it is about the host"
    );
    assert!(accepts(
        Rule::accept().on(Subject::Network),
        &facts(COMMAND, &params)
    ));
    params["networkApprovalContext"] = Value::Null;
    params["kind"] = "writeStdin".into();
    assert!(!accepts(ls(), &facts(COMMAND, &params)));
    assert!(accepts(
        Rule::accept().on(Subject::Stdin),
        &facts(COMMAND, &params)
    ));
}

#[test]
fn a_request_that_a_person_must_decide_is_accepted_by_no_rule() {
    for kind in [json!("humanCommand"), json!("somethingNew"), json!(7)] {
        let params = json!({"threadId": "t", "command": "ls", "kind": kind});
        let facts = facts(COMMAND, &params);
        assert!(!accepts(Rule::accept(), &facts), "{kind}");
        assert_eq!(decided(&Policy::auto(), &facts), None, "{kind}");
        assert_eq!(
            decided(&Policy::rules([Rule::decline()]), &facts),
            Some(Decision::Decline),
            "{kind}"
        );
    }
}

#[test]
fn files_are_accepted_only_if_all_are_known_to_be_inside() {
    let rule = || Rule::accept().within("/no/such/repo");
    assert!(accepts(
        rule(),
        &files(&["/no/such/repo/a", "/no/such/repo/b/c"])
    ));
    for bad in [
        &["/no/such/repo/a", "/etc/passwd"][..],
        &["/no/such/repo/../x"],
        &["relative"],
        &[],
    ] {
        assert!(!accepts(rule(), &files(bad)), "{bad:?}");
    }
    assert!(
        !accepts(rule(), &facts(FILES, &json!({"threadId": "t"}))),
        "the changes are not known"
    );
    let renamed = json!([{"path": "/no/such/repo/a", "kind": {"type": "update", "move_path": "/etc/b"}, "diff": ""}]);
    assert!(!accepts(rule(), &Facts::read(FILES, "{}", Some(&renamed))));
    let granted = json!({"threadId": "t", "grantRoot": "/etc"}).to_string();
    let inside = json!([{"path": "/no/such/repo/a", "kind": {"type": "add"}, "diff": ""}]);
    assert!(!accepts(
        rule(),
        &Facts::read(FILES, &granted, Some(&inside))
    ));
    assert!(
        !accepts(rule(), &command("touch /no/such/repo/a")),
        "that is a command"
    );

    let refuse = Policy::rules([Rule::decline().within("/etc")]);
    assert!(decided(&refuse, &files(&["/repo/a", "/etc/passwd"])).is_some());
    assert!(
        decided(&refuse, &facts(FILES, &json!({}))).is_some(),
        "it may be in there"
    );
    assert!(decided(&refuse, &files(&["/no/such/repo/a"])).is_none());
}

#[test]
fn permissions_are_accepted_only_if_nothing_else_is_asked_for() {
    let write = |path: &str| json!({"read": null, "write": [path], "entries": [{"path": {"type": "path", "path": path}, "access": "write"}]});
    let inside = || permissions(&json!({"fileSystem": write("/no/such/repo/out")}));
    let both = || {
        permissions(
            &json!({"fileSystem": write("/no/such/repo/out"), "network": {"enabled": true}}),
        )
    };
    let within = || Rule::accept().within("/no/such/repo");
    assert!(accepts(within(), &inside()));
    assert!(!accepts(within(), &both()));
    assert!(accepts(
        within()
            .permission(Permission::Write)
            .permission(Permission::Network),
        &both()
    ));
    assert!(!accepts(within().permission(Permission::Read), &inside()));
    assert!(!accepts(
        Rule::accept().permission(Permission::Network),
        &both()
    ));
    assert!(
        !accepts(within(), &permissions(&json!({}))),
        "nothing is asked for"
    );
    for odd in [
        json!({"fileSystem": {"entries": [{"path": {"type": "glob_pattern", "pattern": "/**"}, "access": "write"}]}}),
        json!({"fileSystem": {"entries": [{"path": {"type": "path", "path": "/no/such/repo/x"}, "access": "own"}]}}),
        json!({"fileSystem": {"write": {"all": true}}}),
        json!({"fileSystem": true}),
        json!({"teleport": true}),
    ] {
        assert!(!accepts(within(), &permissions(&odd)), "{odd}");
        let refuse = Policy::rules([Rule::decline().permission(Permission::Write)]);
        assert!(decided(&refuse, &permissions(&odd)).is_some(), "{odd}");
    }
}

#[test]
fn mcp_tools_skills_threads_and_directories_are_told_apart() {
    let get = || mcp("docs", "get_page", &Value::Null);
    assert!(accepts(
        Rule::accept().mcp_server("docs").mcp_tool("get_*"),
        &get()
    ));
    assert!(!accepts(
        Rule::accept().mcp_server("docs").mcp_tool("set_*"),
        &get()
    ));
    assert!(!accepts(Rule::accept().mcp_server("doc"), &get()));
    assert!(!accepts(Rule::accept().mcp_server("*"), &command("ls")));
    let skill = facts(SKILL, &json!({"itemId": "i", "skillName": "deploy"}));
    assert!(accepts(Rule::accept().skill("deploy"), &skill));
    assert!(!accepts(Rule::accept().skill("test"), &skill));
    assert!(accepts(Rule::accept().thread("t"), &command("ls")));
    assert!(!accepts(Rule::accept().thread("u"), &command("ls")));
    assert!(
        !accepts(Rule::accept().thread("t"), &skill),
        "it names no thread"
    );
    assert!(accepts(
        Rule::accept().command("ls").cwd("/repo"),
        &command("ls")
    ));
    assert!(!accepts(
        Rule::accept().command("ls").cwd("/repo/sub/deeper"),
        &command("ls")
    ));
    let exact = |dir: &str| Rule::accept().command("ls").exact_cwd(dir);
    assert!(accepts(exact("/repo/sub"), &command("ls")));
    assert!(accepts(exact("/repo/sub/."), &command("ls")));
    assert!(!accepts(exact("/repo"), &command("ls")));
    assert!(!accepts(exact("/repo/sub/deeper"), &command("ls")));
    assert!(accepts(exact("/repo/sub").cwd("/other"), &command("ls")));
    assert!(accepts(Rule::accept().on(Subject::Command), &command("ls")));
    assert!(!accepts(Rule::accept().on(Subject::Skill), &command("ls")));
}

#[test]
fn the_presets_do_what_they_say() {
    let all = || {
        [
            command("ls"),
            files(&["/repo/a"]),
            facts(SKILL, &json!({"skillName": "s"})),
            permissions(&json!({"network": {"enabled": true}})),
            mcp("s", "t", &json!({"readOnlyHint": false})),
            permissions(&json!({"fileSystem": {"read": ["/etc"]}})),
            mcp("s", "t", &json!({"readOnlyHint": true})),
        ]
    };
    let each = |policy: &Policy| all().map(|facts| decided(policy, &facts));
    let no = Some(Decision::Decline);
    for (policy, yes) in [
        (Policy::auto(), Decision::AcceptForSession),
        (Policy::auto_persistent(), Decision::AcceptAlways),
    ] {
        let yes = Some(yes);
        assert_eq!(
            each(&policy),
            [yes.clone(), yes.clone(), yes, None, None, None, None]
        );
    }
    assert_eq!(
        each(&Policy::read_only()),
        [
            no.clone(),
            no.clone(),
            no.clone(),
            no.clone(),
            no,
            None,
            None
        ]
    );
    assert_eq!(
        each(&Policy::decline()),
        [const { None }; 7],
        "nobody is asked, and it is closed"
    );
    assert!(Policy::decline().closed && !Policy::auto().closed);
}

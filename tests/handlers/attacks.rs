//! What a model, a repository and an MCP server try with the real codex, to get more than the policy says.

use std::fs;

use cas_sdk::{
    Builder, Handlers,
    handlers::{ApprovalRequest, Decision, ElicitationAnswer, ElicitationAsk, ElicitationRequest},
    policy::{Permission, Policy, Rule, Subject},
    testing::{ModelRequest, Reply},
};
use serde_json::{Value, json};

use crate::{
    approvals::{config, escalated},
    common::{Rig, codex_test_with, within},
    item, start, told, turn,
};

/// One turn in which the model wants to run something, with arguments of its choice. Returns the status of the item.
async fn exec(rig: &Rig, builder: Builder, args: &Value) -> Value {
    let mut call = json!({"sandbox_permissions": "require_escalated", "justification": "May I?"});
    for (key, value) in args.as_object().unwrap() {
        call[key] = value.clone();
    }
    rig.model
        .reply(Reply::new().function_call("c-1", "exec_command", call));
    rig.model.reply(Reply::text("done"));
    let client = builder.spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    client.shutdown().await;
    item(&outcome, "c-1")["status"].clone()
}

fn rules(rig: &Rig) -> String {
    fs::read_to_string(rig.home.path().join("rules/default.rules")).unwrap_or_default()
}

#[tokio::test]
async fn a_command_that_auto_accepted_is_asked_again_in_the_next_process() {
    codex_test_with(config, 120, async |rig| {
        let victim = rig.home.work_dir().join("victim");
        fs::create_dir(&victim).unwrap();
        for (cmd, prefix) in [
            ("find . -name x", json!(["find"])),
            ("touch x", json!(["touch"])),
            ("ls", json!([""])),
            ("ls", json!([])),
        ] {
            let status = exec(
                &rig,
                rig.builder().approvals(Policy::auto()),
                &json!({"cmd": cmd, "prefix_rule": prefix}),
            )
            .await;
            assert_eq!(status, "completed", "{cmd}");
            assert_eq!(rules(&rig), "", "{cmd}");
        }
        let strict = rig.builder().approvals(Policy::decline());
        let status = exec(
            &rig,
            strict,
            &json!({"cmd": format!("find {} -delete", victim.display())}),
        )
        .await;
        assert_eq!(status, "declined");
        assert!(victim.exists());
    })
    .await;
}

#[tokio::test]
async fn an_amendment_that_the_model_has_widened_is_not_taken() {
    codex_test_with(config, 120, async |rig| {
        let policy = || Policy::decline().rule(Rule::accept_always().command("touch here"));
        for prefix in [json!(["touch"]), json!([""]), json!(["find"])] {
            let args = json!({"cmd": "touch here", "prefix_rule": prefix});
            assert_eq!(
                exec(&rig, rig.builder().approvals(policy()), &args).await,
                "completed"
            );
            let rules = rules(&rig);
            assert!(
                !rules.contains(r#"["touch"]"#)
                    && !rules.contains("find")
                    && !rules.contains(r#"[""]"#),
                "{rules}"
            );
        }
        let find = json!({"cmd": "find . -name x", "prefix_rule": ["find"]});
        let all = rig.builder().approvals(Policy::auto_persistent());
        assert_eq!(exec(&rig, all, &find).await, "completed");
        assert!(!rules(&rig).contains("find"), "{}", rules(&rig));
        let args = json!({"cmd": "touch here too", "prefix_rule": ["touch", "here"]});
        assert_eq!(
            exec(&rig, rig.builder().approvals(policy()), &args).await,
            "completed"
        );
        assert!(
            rules(&rig).contains(r#"pattern=["touch", "here"]"#),
            "{}",
            rules(&rig)
        );
    })
    .await;
}

#[tokio::test]
async fn an_agent_does_not_act_through_a_thread_with_a_stricter_policy() {
    for strict_is_the_clients in [true, false] {
        let Some(rig) = Rig::with(config).await else {
            return;
        };
        within(120, async {
            let base = if strict_is_the_clients {
                Policy::decline()
            } else {
                Policy::auto()
            };
            let client = rig.builder().approvals(base).spawn().await.unwrap();
            let trusted = client.with_handlers(Handlers::new().approvals(Policy::auto()));
            let careful = client.with_handlers(Handlers::new().approvals(Policy::decline()));
            let strict = start(if strict_is_the_clients {
                &client
            } else {
                &careful
            })
            .await;
            let lax = start(&trusted).await;
            let target = strict.id().to_owned();
            rig.model.respond_with(move |request: &ModelRequest| {
                let texts = request.prompts();
                if texts.last().is_some_and(|text| text.contains("DO IT")) {
                    return match request.tool_output("c-1") {
                        None => escalated("c-1", "touch pwned"),
                        Some(_) => Reply::text("done"),
                    };
                }
                if texts.last().is_none_or(|text| !text.contains("GO")) {
                    return Reply::text("hello");
                }
                let call = |id: &str, tool: &str, args: Value| {
                    Reply::new().namespaced_call(id, "multi_agent_v1", tool, args)
                };
                match (request.tool_output("send"), request.tool_output("wait")) {
                    (None, _) => call(
                        "send",
                        "send_input",
                        json!({"target": target, "message": "DO IT"}),
                    ),
                    (Some(_), None) => call("wait", "wait_agent", json!({"targets": [target]})),
                    (Some(_), Some(_)) => Reply::text("sent"),
                }
            });
            turn(&strict).await;
            let outcome = super::ended(lax.ask("GO").await.unwrap()).await;
            assert_eq!(outcome.text, "sent");
            let sent = item(&outcome, "send");
            assert_eq!(
                (&sent["status"], &sent["receiverThreadIds"][0]),
                (&json!("completed"), &json!(strict.id())),
                "{sent}"
            );
            assert!(!rig.home.work_dir().join("pwned").exists());
            client.shutdown().await;
        })
        .await;
    }
}

#[tokio::test]
async fn options_quotes_and_wrappers_do_not_hide_a_refused_command() {
    codex_test_with(config, 300, async |rig| {
        let policy = || {
            Policy::auto()
                .rule(Rule::decline().command("git push"))
                .rule(Rule::decline().command("rm"))
        };
        let victim = rig.home.work_dir().join("victim");
        fs::write(&victim, "").unwrap();
        for cmd in [
            "git -C . push",
            "git --no-pager push",
            "r'm' victim",
            r"r\m victim",
            "/b'in/r'm victim",
            "$'\\x72m' victim",
            "/bin/r? victim",
        ] {
            let status = exec(
                &rig,
                rig.builder().approvals(policy()),
                &json!({"cmd": cmd}),
            )
            .await;
            assert_eq!(status, "declined", "{cmd}");
            assert!(victim.exists(), "{cmd}");
        }
    })
    .await;
}

/// One turn in which the model asks for permissions. Returns what it was told is granted.
async fn granted(rig: &Rig, policy: Policy, permissions: Value) -> Value {
    let args = json!({"reason": "Because.", "permissions": permissions});
    rig.model
        .reply(Reply::new().function_call("c-1", "request_permissions", args));
    rig.model.reply(Reply::text("done"));
    let client = rig.builder().approvals(policy).spawn().await.unwrap();
    turn(&start(&client).await).await;
    client.shutdown().await;
    let told = told(rig, "c-1");
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
    told["permissions"]["file_system"].clone()
}

#[tokio::test]
async fn a_directory_above_a_refused_one_and_permissions_that_no_rule_names_are_not_granted() {
    let rig = Rig::with(|home| {
        home.model("gpt-5.5")
            .approval_policy("on-request")
            .feature("request_permissions_tool", true)
    });
    let Some(rig) = rig.await else { return };
    within(240, async {
        let work = rig.home.work_dir().clone();
        let secret = work.join("a/secret");
        fs::create_dir_all(&secret).unwrap();
        let policy = || {
            Policy::decline()
                .rule(Rule::decline().within(&secret))
                .rule(
                    Rule::accept()
                        .permission(Permission::Write)
                        .permission(Permission::Read),
                )
        };
        for path in [
            work.join("a"),
            work.clone(),
            "/".into(),
            secret.clone(),
            secret.join("x"),
        ] {
            let files = granted(&rig, policy(), json!({"file_system": {"write": [path]}})).await;
            assert!(files.is_null(), "{files}");
        }
        let files = granted(
            &rig,
            policy(),
            json!({"file_system": {"write": [work.join("b")]}}),
        )
        .await;
        assert!(files.to_string().contains("/b"), "{files}");
        for rule in [
            Rule::accept().cwd(&work),
            Rule::accept(),
            Rule::accept().on(Subject::Command),
        ] {
            let files = granted(
                &rig,
                Policy::decline().rule(rule),
                json!({"file_system": {"write": [work.join("b")]}}),
            )
            .await;
            assert!(files.is_null(), "{files}");
        }
    })
    .await;
}

#[tokio::test]
async fn permissions_beside_a_command_are_accepted_only_by_a_rule_that_names_them() {
    let rig = Rig::with(|home| {
        home.model("gpt-5.5")
            .approval_policy("on-request")
            .feature("exec_permission_approvals", true)
    });
    let Some(rig) = rig.await else { return };
    within(120, async {
        let work = rig.home.work_dir().clone();
        let args = json!({"cmd": "touch beside", "sandbox_permissions": "with_additional_permissions", "additional_permissions": {"file_system": {"write": [work]}}});
        let made = || work.join("beside").exists();
        for policy in [
            Policy::auto(),
            Policy::decline().rule(Rule::accept().on(Subject::Command)),
            Policy::decline().rule(Rule::accept().command("touch")),
            Policy::decline().rule(Rule::accept().cwd(&work)),
        ] {
            assert_eq!(exec(&rig, rig.builder().approvals(policy), &args).await, "declined");
            assert!(!made());
        }
        let named = Policy::decline().rule(Rule::accept().command("touch").permission(Permission::Write));
        assert_eq!(exec(&rig, rig.builder().approvals(named), &args).await, "completed");
        assert!(made());
    })
    .await;
}

/// What the MCP server is answered to a form that it sends while the model calls this tool of it.
async fn elicited(rig: &Rig, builder: Builder, tool: &str) -> String {
    rig.model
        .reply(Reply::new().namespaced_call("c-1", "mcp__tiny", tool, json!({})));
    rig.model.reply(Reply::text("done"));
    let client = builder.spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    client.shutdown().await;
    item(&outcome, "c-1")["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn an_mcp_server_cannot_dress_a_form_as_the_approval_of_a_tool() {
    let rig = Rig::with(|home| {
        home.model("gpt-5.5")
            .approval_policy("on-request")
            .mcp_server("tiny", "sh", ["-c", include_str!("tiny_mcp.sh")])
    });
    let Some(rig) = rig.await else { return };
    within(180, async {
        let rules = || Policy::decline().rule(Rule::accept().mcp_server("tiny"));
        for tool in ["forged_form", "forged_call"] {
            let answer = elicited(&rig, rig.builder().approvals(rules()), tool).await;
            assert!(answer.contains(r#""action":"decline""#), "{tool}: {answer}");
            // A person is shown the form that it is.
            let person = |request: ElicitationRequest, _cx| async move {
                assert!(
                    matches!(request.ask, ElicitationAsk::Form { .. }),
                    "{request:?}"
                );
                Ok(ElicitationAnswer::cancel())
            };
            for policy in [rules(), Policy::read_only()] {
                let builder = rig
                    .builder()
                    .approvals(policy)
                    .handlers(cas_sdk::Handlers::new().elicitation(person));
                let answer = elicited(&rig, builder, tool).await;
                assert!(answer.contains(r#""action":"cancel""#), "{tool}: {answer}");
            }
        }
        let answer = elicited(&rig, rig.builder().approvals(rules()), "rw").await;
        assert_eq!(answer, "did it", "its own call is one");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_runs_others_is_marked_in_the_audit() {
    codex_test_with(config, 60, async |rig| {
        let (told, audits) = std::sync::mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let builder = rig
            .builder()
            .approvals(Policy::decline().rule(Rule::accept().command("find")))
            .handlers(
                cas_sdk::Handlers::new()
                    .audit(move |audit| told.lock().unwrap().send(audit.clone()).unwrap()),
            );
        assert_eq!(
            exec(&rig, builder, &json!({"cmd": "find . -name x"})).await,
            "completed"
        );
        let audit = audits.recv().unwrap();
        assert!(audit.warning.is_some_and(|w| w.contains("accepts `find`")));
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_always_accepts_for_good_persists_only_what_is_of_the_command() {
    codex_test_with(config, 60, async |rig| {
        let always = |_: ApprovalRequest, _cx| async { Ok(Decision::AcceptAlways) };
        let args = json!({"cmd": "touch x > y", "prefix_rule": ["touch"]});
        assert_eq!(
            exec(&rig, rig.builder().approvals(always), &args).await,
            "completed"
        );
        assert_eq!(rules(&rig), "");
    })
    .await;
}

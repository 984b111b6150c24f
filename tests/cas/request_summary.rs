//! What a person is told before an approval, in `cas attach` and `cas ask`: all that it grants.

use cas_sdk::testing::{CodexHomeBuilder, Reply};
use serde_json::{Value, json};

use crate::{
    common::{codex_test_with, eventually, within},
    screens::{shown, start},
    scripted::{COMMAND, Scripted, THREAD, in_ask, in_attach},
    tmux::Terminal,
};

const FILES: &str = "item/fileChange/requestApproval";
pub const PERMISSIONS: &str = "item/permissions/requestApproval";
const ELICITATION: &str = "mcpServer/elicitation/request";

/// What is typed to accept, and what to decline.
const DECISIONS: [&str; 2] = ["[y/s/n/t]", "[n/t]"];

struct Case {
    method: &'static str,
    params: Value,
    told: &'static [&'static str],
    /// Whether it can be accepted.
    is_clear: bool,
}

fn case(
    method: &'static str,
    params: Value,
    told: &'static [&'static str],
    is_clear: bool,
) -> Case {
    Case {
        method,
        params,
        told,
        is_clear,
    }
}

impl Case {
    fn label(&self) -> String {
        format!("{} {}", self.method, self.params)
    }

    fn is_told_in(&self, asked: &str) {
        for told in self.told {
            assert!(asked.contains(told), "{}: {told} in {asked}", self.label());
        }
    }
}

/// The same requests for both commands.
fn cases() -> Vec<Case> {
    let wide = json!({"network": {"enabled": true}, "fileSystem": {"write": ["/"]}});
    let entries = json!({"fileSystem": {"entries": [
        {"access": "write", "path": {"type": "special", "value": {"kind": "root"}}},
        {"access": "read", "path": {"type": "glob_pattern", "pattern": "/etc/**"}},
        {"access": "write", "path": {"type": "special", "value": {"kind": "project_roots", "subpath": "sub"}}},
        {"access": "deny", "path": {"type": "path", "path": "/root"}},
    ], "globScanMaxDepth": 3}});
    vec![
        case(
            PERMISSIONS,
            json!({"cwd": "/repo", "permissions": wide, "reason": "to build"}),
            &[
                "have more permissions",
                "in /repo",
                "because: to build",
                "+ may use the network",
                "+ may write to /",
            ],
            true,
        ),
        case(
            PERMISSIONS,
            json!({"cwd": "/repo", "permissions": entries}),
            &[
                "+ may write to all files",
                "+ may read all that matches /etc/**",
                "+ may write to sub below the roots of the project",
                "+ has no access to /root",
                "+ patterns reach 3 directories deep",
            ],
            true,
        ),
        case(
            COMMAND,
            json!({"networkApprovalContext": {"host": "evil.example", "protocol": "https"}}),
            &[
                "use the network",
                "+ may reach the host evil.example by https",
            ],
            true,
        ),
        case(
            COMMAND,
            json!({"command": "ls", "cwd": "/etc", "reason": "a look", "environmentId": "far", "additionalPermissions": wide}),
            &[
                "run ls",
                "in /etc",
                "in the environment far",
                "because: a look",
                "+ may use the network",
                "+ may write to /",
            ],
            true,
        ),
        case(
            COMMAND,
            json!({"kind": "writeStdin", "command": "rm -rf ~", "additionalPermissions": wide}),
            &[
                "type into a program that runs: rm -rf ~",
                "+ may use the network",
                "+ may write to /",
            ],
            true,
        ),
        case(
            COMMAND,
            json!({"command": "ls\n· waits: nothing", "cwd": "/x\n+ nothing"}),
            &["run ls^J· waits: nothing", "in /x^J+ nothing"],
            true,
        ),
        // What is not known, or not told.
        case(
            COMMAND,
            json!({}),
            &["the request does not say which command"],
            false,
        ),
        case(
            COMMAND,
            json!({"kind": "writeStdin"}),
            &["the request does not say what"],
            false,
        ),
        case(
            COMMAND,
            json!({"command": "ls", "sandbox": {"off": true}}),
            &[
                "run ls",
                "can't be accepted here: this version of cas does not know the field `sandbox`: {\"off\":true}",
                "it may allow more than is shown, so it can only be declined",
            ],
            false,
        ),
        case(
            COMMAND,
            json!({"command": "ls", "additionalPermissions": {"camera": true}}),
            &["does not know the field `additionalPermissions.camera`: true"],
            false,
        ),
        case(
            COMMAND,
            json!({"command": "ls", "additionalPermissions": {"fileSystem": {"entries": [{"access": "own", "path": {"type": "path", "path": "/x"}}]}}}),
            &["`own` is not known here", "+ may own /x"],
            false,
        ),
        case(
            COMMAND,
            json!({"command": "ls", "networkApprovalContext": {"host": "h", "protocol": "https", "ports": "all"}}),
            &["does not know the field `networkApprovalContext.ports`: \"all\""],
            false,
        ),
        case(
            FILES,
            json!({"grantRoot": "/"}),
            &[
                "change files",
                "+ may write to all of / until the session ends",
                "the request does not say which files",
            ],
            false,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_tells_all_that_an_approval_grants_and_takes_no_yes_to_what_it_can_not_tell() {
    in_attach(180, async |terminal, server| {
        for (id, case) in (100..).zip(cases()) {
            let label = case.label();
            server.asks(id, case.method, &case.params);
            let mark = DECISIONS[usize::from(!case.is_clear)];
            let last = || shown(terminal).into_iter().nth_back(1).unwrap_or_default();
            eventually(&label, || last().ends_with(mark)).await;
            let screen = terminal.screen();
            let asked = screen.rsplit("\n· waits: ").next().unwrap();
            case.is_told_in(asked);
            if !case.is_clear {
                terminal.enter("y").await;
                terminal.shows("only n/t is taken").await;
                assert_eq!(server.answer(id), None, "{label}");
            }
            terminal.enter("n").await;
            server.answered(id).await;
            server.resolved(id);
            eventually("it is settled", || last().starts_with("· settled: ")).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_tells_all_that_an_approval_grants_and_takes_no_yes_to_what_it_can_not_tell() {
    in_ask(180, async |terminal, server| {
        terminal.shows("thread 019a2b3c").await;
        for (id, case) in (100..).zip(cases()) {
            let label = case.label();
            server.asks(id, case.method, &case.params);
            let choices = if case.is_clear { "[y]es" } else { "[n]o" };
            eventually(&label, || {
                shown(terminal).last().is_some_and(|line| {
                    line.starts_with(&format!("cas: {choices}")) && line.ends_with("turn?")
                })
            })
            .await;
            let screen = terminal.screen();
            let asked = screen.rsplit("wants to ").next().unwrap();
            case.is_told_in(asked);
            if !case.is_clear {
                terminal.enter("y").await;
                terminal.shows("it can't be accepted here, since").await;
                assert_eq!(server.answer(id), None, "{label}");
            }
            terminal.enter("n").await;
            server.answered(id).await;
        }
    })
    .await;
}

fn change(path: &str, kind: &Value) -> Value {
    json!({"path": path, "kind": kind, "diff": format!("+new text of {path}\n")})
}

fn file_change(changes: &Value) -> Value {
    json!({"type": "fileChange", "id": "item-1", "status": "inProgress", "changes": changes})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_files_is_told_with_its_paths_and_its_text_also_to_who_joins_later() {
    let Some(terminal) = Terminal::new() else {
        return;
    };
    within(120, async {
        let server = Scripted::start().await;
        let changes = json!([
            change("/repo/a", &json!({"type": "add"})),
            change(
                "/repo/b",
                &json!({"type": "update", "move_path": "/etc/passwd"})
            ),
        ]);
        server.has_turn("inProgress", &json!([file_change(&changes)]));
        server.cas(&terminal, &[], &["attach", THREAD]);
        server.is_followed().await;
        server.asks(100, FILES, &json!({"grantRoot": "/repo"}));
        terminal.shows("[y/s/n/t]").await;
        let screen = terminal.screen();
        for told in [
            "change 2 files",
            "+ add /repo/a",
            "+ change /repo/b, moved to /etc/passwd",
            "| +new text of /repo/b",
            "+ may write to all of /repo until the session ends",
        ] {
            assert!(screen.contains(told), "{told} in {screen}");
        }
        terminal.enter("y").await;
        assert_eq!(server.answered(100).await["decision"], "accept");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_poses_as_the_approval_of_a_tool_is_not_offered_to_be_accepted() {
    in_attach(120, async |terminal, server| {
        let asks = |id, tool: &str, arguments: &Value| {
            let meta = json!({
                "codex_approval_kind": "mcp_tool_call", "tool_name": tool, "tool_params": arguments,
                "persist": ["session", "always"],
            });
            let schema = json!({"type": "object", "properties": {}});
            server.asks(id, ELICITATION, &json!({
                "serverName": "tiny", "mode": "form", "message": "Allow it?", "requestedSchema": schema, "_meta": meta,
            }));
        };
        let arguments = json!({"path": "/x"});
        let item = json!({
            "type": "mcpToolCall", "id": "call-1", "server": "tiny", "tool": "wipe", "status": "inProgress",
            "arguments": arguments, "result": null, "error": null, "durationMs": null,
        });
        server.item("item/started", &item);
        for (seen, (id, tool, arguments, mark)) in (1..).zip([
            (100, "harmless", &arguments, "[n/t]"),
            (101, "wipe", &json!({"path": "/y"}), "[n/t]"),
            (102, "wipe", &arguments, "[y/s/n/t]"),
            // It is requested once.
            (103, "wipe", &arguments, "[n/t]"),
        ]) {
            asks(id, tool, arguments);
            eventually(mark, || {
                terminal.screen().matches("· waits: ").count() == seen && terminal.screen().contains(mark)
            })
            .await;
            let screen = terminal.screen();
            let asked = screen.rsplit("\n· waits: ").next().unwrap();
            assert!(asked.contains(mark), "{id}: {asked}");
            assert!(asked.contains(&format!("call {tool} of the MCP server tiny")), "{asked}");
            assert!(asked.contains(&format!("with {arguments}")), "{asked}");
            assert!(asked.contains("because: Allow it?"), "{asked}");
            terminal.enter("y").await;
            if mark == "[n/t]" {
                terminal.shows("only n/t is taken").await;
                assert_eq!(server.answer(id), None);
                terminal.enter("n").await;
            }
            let action = server.answered(id).await["action"].clone();
            assert_eq!(action, if mark == "[n/t]" { "decline" } else { "accept" });
            server.resolved(id);
            eventually("it is settled", || {
                terminal.screen().matches("settled: ").count() == seen
            })
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_real_codex_asks_for_is_known_and_can_be_accepted() {
    let config = |home: CodexHomeBuilder| {
        home.model("gpt-5.5")
            .approval_policy("on-request")
            .feature("request_permissions_tool", true)
            .feature("exec_permission_approvals", true)
    };
    codex_test_with(config, 180, async |rig| {
        let patch = "*** Begin Patch\n*** Add File: a.txt\n+new line\n*** End Patch\n";
        let out = rig.home.work_dir().join("out");
        let wide = json!({"file_system": {"write": [out]}, "network": {"enabled": true}});
        let args = json!({"reason": "Because.", "permissions": wide});
        let command = json!({
            "cmd": "touch b.txt", "sandbox_permissions": "with_additional_permissions",
            "additional_permissions": {"network": {"enabled": true}}, "justification": "May I?",
        });
        let Some(terminal) = Terminal::new() else {
            return;
        };
        rig.model
            .reply(Reply::new().custom_tool_call("c-1", "apply_patch", patch));
        rig.model
            .reply(Reply::new().function_call("c-3", "exec_command", command));
        rig.model
            .reply(Reply::new().function_call("c-2", "request_permissions", args));
        rig.model.reply(Reply::text("all done"));
        let args = ["ask", "--approvals", "ask", "go"];
        start(&terminal, &rig, 160, &[], &args);
        for told in [
            &["wants to add ", "a.txt", "| new line"][..],
            &["touch b.txt", "+ may use the network", "because: May I?"],
            &[
                "wants to have more permissions",
                "+ may use the network",
                "because: Because.",
            ],
        ] {
            terminal.shows(told[0]).await;
            eventually("it is asked", || {
                shown(&terminal)
                    .last()
                    .is_some_and(|line| line.starts_with("cas: [y]es"))
            })
            .await;
            let screen = terminal.screen();
            for told in told {
                assert!(screen.contains(told), "{told} in {screen}");
            }
            terminal.enter("y").await;
        }
        terminal.shows("all done").await;
        assert!(rig.home.work_dir().join("a.txt").exists());
        let told = rig
            .model
            .requests()
            .last()
            .unwrap()
            .tool_output("c-2")
            .unwrap()
            .to_string();
        assert!(told.contains("enabled"), "{told}");
    })
    .await;
}

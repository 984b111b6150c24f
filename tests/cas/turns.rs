//! Plans, goals, reviews, stops and logins, against the real codex.

use cas_sdk::testing::{CodexHomeBuilder, ModelRequest, Reply};
use serde_json::{Value, json};

use crate::{
    common::{codex_test, codex_test_with},
    people::{lines, piped, run, stderr, stdout},
};

const PLAN: &str = "Look:\n<proposed_plan>\n# Plan\n1. Measure.\n</proposed_plan>\nThat is it.\n";

#[tokio::test(flavor = "multi_thread")]
async fn ask_shows_a_plan_and_carries_it_out_when_told_to() {
    codex_test(120, async |rig| {
        rig.model.reply(
            Reply::new()
                .delta("Look:\n<proposed_plan>\n# Pl")
                .delta("an\n1. Measure.\n</prop")
                .delta("osed_plan>\nThat is it.\n"),
        );
        let out = run(&rig, &["ask", "--plan", "Make it faster."]).await;
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        assert_eq!(stdout(&out), "Look:\n\n# Plan\n1. Measure.\nThat is it.\n");

        // The mode sticks to the thread; what is shown and written is the plan, where nothing else
        // is said.
        rig.model.reply(Reply::text(
            "<proposed_plan>\n1. Guess.\n</proposed_plan>\n",
        ));
        let out = run(
            &rig,
            &["ask", "--last", "--json", "-o", "plan.md", "Shorter."],
        )
        .await;
        let told = lines(&out);
        let end = told.last().unwrap();
        assert_eq!(
            (&end["text"], &end["plan"]),
            (&json!(""), &json!("1. Guess.\n")),
            "{end}"
        );
        let deltas = told.iter().filter(|event| event["event"] == "planDelta");
        let plan: String = deltas
            .map(|event| event["delta"].as_str().unwrap())
            .collect();
        assert_eq!(plan, "1. Guess.\n");
        let file = std::fs::read_to_string(rig.home.work_dir().join("plan.md")).unwrap();
        assert_eq!(file, "1. Guess.\n");

        // Out of plan mode a block is only text.
        rig.model.reply(Reply::text(PLAN));
        let out = run(
            &rig,
            &[
                "ask",
                "--last",
                "--execute",
                "--json",
                "Implement the plan.",
            ],
        )
        .await;
        let end = lines(&out).pop().unwrap();
        assert_eq!((&end["text"], &end["plan"]), (&json!(PLAN), &Value::Null));
        let requests = rig.model.requests();
        assert!(
            requests
                .iter()
                .all(|request| request.body()["model"] == "mock-model")
        );
        let out = run(&rig, &["ask", "--plan", "--execute", "x"]).await;
        assert_eq!(out.status.code(), Some(2), "{}", stderr(&out));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_works_on_a_goal_to_its_end_or_to_a_limit() {
    codex_test(120, async |rig| {
        rig.model.reply(Reply::text("step one"));
        rig.model.reply(Reply::new().function_call(
            "done",
            "update_goal",
            json!({"status": "complete"}),
        ));
        rig.model.reply(Reply::text("reached"));
        let out = run(&rig, &["ask", "--goal", "-o", "end.md", "Reach it"]).await;
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        assert_eq!(stdout(&out), "step one\n\nreached\n");
        let file = std::fs::read_to_string(rig.home.work_dir().join("end.md")).unwrap();
        assert_eq!(file, "reached\n");

        rig.model.otherwise(Reply::text("still going"));
        let args = ["ask", "--goal", "--last", "--turns", "2", "--json", "Talk"];
        let out = run(&rig, &args).await;
        assert_eq!(out.status.code(), Some(124), "{}", stderr(&out));
        let told = lines(&out);
        let count = |name: &str| told.iter().filter(|event| event["event"] == name).count();
        assert_eq!((count("started"), count("completed")), (2, 2), "{told:?}");
        let end = told.last().unwrap();
        assert_eq!(
            (
                &end["event"],
                &end["end"],
                &end["turns"],
                &end["exitStatus"]
            ),
            (
                &json!("goalEnded"),
                &json!("turnLimit"),
                &json!(2),
                &json!(124)
            )
        );
        let out = run(&rig, &["ask", "--turns", "2", "Talk"]).await;
        assert_eq!(out.status.code(), Some(2), "{}", stderr(&out));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_pauses_the_goal_of_a_thread_and_says_so() {
    codex_test(120, async |rig| {
        rig.model.reply(Reply::text("hello"));
        let (client, thread) = rig.thread().await;
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        let id = thread.id().to_owned();
        client.shutdown().await;
        // On a thread that is not loaded nothing runs by that.
        let client = rig.client().await;
        let params = json!({"threadId": id, "objective": "Talk", "status": "active"});
        client
            .call::<Value>("thread/goal/set", &params)
            .await
            .unwrap();
        client.shutdown().await;

        let short = &id[..13];
        let out = run(&rig, &["threads", "stop", short]).await;
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        assert_eq!(stdout(&out), format!("paused the goal of {id}\n"));
        let out = run(&rig, &["goal", "get", "--json", &id]).await;
        assert_eq!(lines(&out)[0]["status"], "paused");
        let out = run(&rig, &["threads", "stop", short]).await;
        assert!(
            stdout(&out).starts_with("nothing runs of "),
            "{}",
            stdout(&out)
        );
        let nobody = "019a2b3c-4d5e-7000-8000-000000000001";
        let out = run(&rig, &["threads", "stop", nobody]).await;
        assert_eq!(out.status.code(), Some(1), "{}", stdout(&out));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn review_tells_the_verdict_by_its_exit_status_and_as_json() {
    codex_test(60, async |rig| {
        let form = |correctness: &str| {
            let finding = json!({"title": "[P1] Off by one", "body": "It ends early.", "confidence_score": 0.9, "priority": 1,
                "code_location": {"absolute_file_path": "/a.py", "line_range": {"start": 2, "end": 3}}});
            Reply::text(json!({"findings": [finding], "overall_correctness": correctness,
                "overall_explanation": "It breaks.", "overall_confidence_score": 0.8}).to_string())
        };
        rig.model.reply(form("patch is incorrect"));
        let out = run(&rig, &["review", "--json", "--instructions", "look"]).await;
        assert_eq!(out.status.code(), Some(3), "{out:?}");
        let told: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((&told["correct"], &told["findings"][0]["priority"]), (&json!(false), &json!(1)));
        rig.model.reply(form("patch is correct"));
        let out = run(&rig, &["review", "--instructions", "look"]).await;
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        assert!(String::from_utf8_lossy(&out.stdout).contains("[P1] Off by one — /a.py:2-3"), "{out:?}");
        rig.model.reply(Reply::text("I like it."));
        let out = run(&rig, &["review", "--instructions", "look"]).await;
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        let out = run(&rig, &["review", "--base", "main", "--commit", "x"]).await;
        assert_eq!(out.status.code(), Some(2), "{out:?}");
    }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goal_is_set_worked_on_and_shown() {
    codex_test(90, async |rig| {
        rig.model.reply(Reply::text("hello"));
        let (client, thread) = rig.thread().await;
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        client.shutdown().await;
        let id = thread.id().to_owned();
        rig.model.reply(Reply::new().function_call(
            "done",
            "update_goal",
            json!({"status": "complete"}),
        ));
        rig.model.reply(Reply::text("reached"));
        let out = piped(&rig, &["goal", "set", &id, "-"], "Reach it").await;
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "reached\n");
        let out = run(&rig, &["goal", "get", "--json", &id]).await;
        let told: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(
            (&told["status"], &told["objective"]),
            (&json!("complete"), &json!("Reach it"))
        );
        rig.model.otherwise(Reply::text("still going"));
        let out = run(
            &rig,
            &["goal", "set", &id, "Talk", "--turns", "2", "--json"],
        )
        .await;
        assert_eq!(out.status.code(), Some(124), "{out:?}");
        let out = run(&rig, &["goal", "pause", &id, "--json"]).await;
        assert_eq!(lines(&out)[0]["goal"]["status"], "paused", "{out:?}");
        let out = run(&rig, &["goal", "pause", &id]).await;
        let told = format!("the goal of {id} is paused: it does not go on by itself\n");
        assert_eq!(String::from_utf8_lossy(&out.stdout), told);
        let out = run(&rig, &["goal", "clear", &id, "--json"]).await;
        assert_eq!(lines(&out)[0]["cleared"], true, "{out:?}");
        let out = run(&rig, &["goal", "get", &id]).await;
        assert_eq!(out.status.code(), Some(1), "{out:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_takes_a_key_says_who_it_is_and_forgets_it() {
    codex_test_with(CodexHomeBuilder::chatgpt_auth, 60, async |rig| {
        let out = piped(&rig, &["login", "--api-key", "--json"], "sk-test\n").await;
        assert!(out.status.success(), "{out:?}");
        assert!(!String::from_utf8_lossy(&out.stdout).contains("sk-test"));
        let out = run(&rig, &["login", "--status"]).await;
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "logged in with an API key\n"
        );
        assert!(run(&rig, &["login", "--logout"]).await.status.success());
        assert_eq!(
            run(&rig, &["login", "--status"]).await.status.code(),
            Some(1)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_the_settings_decline_is_told_with_the_setting_that_allows_it() {
    let home = |home: CodexHomeBuilder| {
        let script = include_str!("../handlers/tiny_mcp.sh");
        home.model("gpt-5.5")
            .approval_policy("never")
            .mcp_server("tiny", "sh", ["-c", script])
    };
    codex_test_with(home, 120, async |rig| {
        let setting = "mcp_servers.tiny.tools.rw.approval_mode";
        let allowed = format!("{setting}=\"approve\"");
        for (args, status) in [(&["ask", "go"][..], 3), (&["ask", "-c", &allowed, "go"], 0)] {
            let call = Reply::new().namespaced_call("c-1", "mcp__tiny", "rw", json!({}));
            rig.model.reply(call);
            rig.model.reply(Reply::text("There you are."));
            let out = run(&rig, args).await;
            let told = stderr(&out);
            assert_eq!(out.status.code(), Some(status), "{told}");
            let is_told = told.contains("declined: rw of tiny; with approval_policy")
                && told.contains(&format!("{setting} = \"approve\""));
            assert_eq!(is_told, status == 3, "{told}");
            assert!(!told.contains("--approvals"), "it would not help: {told}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_agent_is_told_by_its_name() {
    codex_test(120, async |rig| {
        rig.model.respond_with(|request: &ModelRequest| {
            let is_child = |text: &&str| text.contains("CHILD TASK");
            if request.prompts().last().is_some_and(is_child) {
                return Reply::text("child done");
            }
            if request.tool_output("spawn").is_some() {
                return Reply::text("parent done");
            }
            let task = json!({"message": "CHILD TASK"});
            Reply::new().namespaced_call("spawn", "multi_agent_v1", "spawn_agent", task)
        });
        let out = run(&rig, &["ask", "parent, please"]).await;
        assert_eq!(stdout(&out), "parent done\n", "{}", stderr(&out));
        let told = stderr(&out);
        let name = told
            .lines()
            .find_map(|line| line.split_once("the sub-agent "));
        let (_, name) = name.unwrap_or_else(|| panic!("{told}"));
        assert!(
            !name.is_empty() && !name.contains('-'),
            "a name and no id: {name}"
        );
        let out = run(&rig, &["ask", "--json", "parent, please"]).await;
        let told = lines(&out);
        let agents = told.iter().filter(|event| event["event"] == "agent");
        let agents: Vec<_> = agents.collect();
        assert_eq!(agents.len(), 1, "{told:?}");
        assert!(agents[0]["name"].is_string() && agents[0]["threadId"].is_string());
    })
    .await;
}

//! `cas review`, `cas goal` and `cas login`, against the real codex.

use std::{io::Write as _, process::Stdio};

use cas_sdk::testing::Reply;
use serde_json::{Value, json};

use crate::{
    common::{codex_test, codex_test_with},
    people::{cas, run},
};

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
        assert!(String::from_utf8_lossy(&out.stdout).contains("[P1] Off by one /a.py:2-3"), "{out:?}");
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
        let out = run(&rig, &["goal", "set", &id, "Reach it"]).await;
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
        let out = run(&rig, &["goal", "clear", &id]).await;
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        let out = run(&rig, &["goal", "get", &id]).await;
        assert_eq!(out.status.code(), Some(1), "{out:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_takes_a_key_says_who_it_is_and_forgets_it() {
    codex_test_with(
        cas_sdk::testing::CodexHomeBuilder::chatgpt_auth,
        60,
        async |rig| {
            let mut command = cas(&rig, &["login", "--api-key", "--json"]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let out = tokio::task::spawn_blocking(move || {
                let mut child = command.spawn().unwrap();
                child.stdin.take().unwrap().write_all(b"sk-test\n").unwrap();
                child.wait_with_output().unwrap()
            });
            let out = out.await.unwrap();
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
        },
    )
    .await;
}

//! Reviews: the verdict typed, and the turn that they would abort.

use std::{path::Path, process::Command};

use cas_sdk::{
    Error, TurnEvent,
    protocol::{ReviewTarget, ThreadStartParams, TurnStatus},
    testing::{Gate, Reply},
    turn::{Correctness, Verdict},
};
use serde_json::json;

use crate::common::codex_test;

fn git(dir: &Path, args: &[&str]) -> String {
    let done = Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A repository with two commits on `main` and one more on `topic`, which is checked out.
fn repository(dir: &Path) -> [String; 3] {
    git(dir, &["init", "-q"]);
    let commit = |text: &str| {
        std::fs::write(dir.join("a.py"), text).unwrap();
        git(dir, &["add", "."]);
        git(dir, &["commit", "-q", "-m", text]);
        git(dir, &["rev-parse", "HEAD"])
    };
    let (first, second) = (commit("one"), commit("two"));
    git(dir, &["checkout", "-q", "-b", "topic"]);
    let commit = |text: &str| {
        std::fs::write(dir.join("a.py"), text).unwrap();
        git(dir, &["commit", "-q", "-a", "-m", text]);
        git(dir, &["rev-parse", "HEAD"])
    };
    [first, second, commit("three")]
}

fn form() -> serde_json::Value {
    json!({
        "findings": [
            {"title": "[P1] Off by one", "body": "It ends early.", "confidence_score": 0.9, "priority": 1,
             "code_location": {"absolute_file_path": "/work/a.py", "line_range": {"start": 2, "end": 3}}},
            {"title": "Typo", "body": "A typo.", "confidence_score": 0.4, "priority": 3,
             "code_location": {"absolute_file_path": "/work/b.py", "line_range": {"start": 7, "end": 7}}},
        ],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "It breaks the loop.", "overall_confidence_score": 0.8,
    })
}

#[tokio::test]
async fn a_review_has_a_typed_verdict_with_priorities_and_says_what_was_reviewed() {
    codex_test(90, async |rig| {
        let [first, second, third] = repository(&rig.home.work_dir());
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text(form().to_string()));
        let review = thread.review(ReviewTarget::base_branch("main")).await.unwrap();
        let outcome = review.finish().await.unwrap();
        let found = outcome.verdict.typed().unwrap();
        assert_eq!((&found.correctness, outcome.verdict.is_correct()), (&Correctness::Incorrect, Some(false)));
        assert_eq!((found.explanation.as_str(), found.confidence), ("It breaks the loop.", Some(0.8)));
        let told: Vec<_> = found.findings.iter().map(|f| (f.title.as_str(), f.priority, f.confidence)).collect();
        assert_eq!(told, [("[P1] Off by one", Some(1), Some(0.9)), ("Typo", Some(3), Some(0.4))]);
        assert_eq!(found.findings[0].location.as_ref().unwrap().to_string(), "/work/a.py:2-3");
        assert!(outcome.turn.text.contains("Off by one"), "{}", outcome.turn.text);
        assert_eq!(outcome.reviewed.head.as_deref(), Some(third.as_str()));
        assert_eq!(outcome.reviewed.base.as_deref(), Some(second.as_str()));

        // One field is missing, and the server gives up on the form; this does not.
        let mut lacking = form();
        lacking["findings"][0].as_object_mut().unwrap().remove("priority");
        rig.model.reply(Reply::text(lacking.to_string()));
        let review = thread.review(ReviewTarget::commit(second.as_str())).await.unwrap();
        let outcome = review.finish().await.unwrap();
        assert_eq!(outcome.verdict.typed().unwrap().findings[0].priority, Some(1), "as the title says");
        assert_eq!(outcome.reviewed.commit, Some(second));
        assert_eq!(outcome.reviewed.base, Some(first));

        // The next one is told from those before.
        let fine = json!({"findings": [], "overall_correctness": "patch is correct", "overall_explanation": "Fine.", "overall_confidence_score": 1});
        rig.model.reply(Reply::text(format!("```json\n{fine}\n```")));
        std::fs::write(rig.home.work_dir().join("a.py"), "four").unwrap();
        let outcome = thread.review(ReviewTarget::uncommitted()).await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.verdict.is_correct(), Some(true), "{outcome:?}");
        let changes = outcome.reviewed.changes.clone().unwrap();

        rig.model.reply(Reply::text("I like it."));
        let outcome = thread.review(ReviewTarget::uncommitted()).await.unwrap().finish().await.unwrap();
        let Verdict::Raw { text, reason } = &outcome.verdict else {
            panic!("it is prose: {outcome:?}")
        };
        assert_eq!((text.as_str(), reason.as_str()), ("I like it.", "the reviewer answered in prose"));
        assert_eq!(outcome.reviewed.changes, Some(changes), "nothing has changed since");
        std::fs::write(rig.home.work_dir().join("a.py"), "five").unwrap();
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn a_review_of_an_ephemeral_thread_says_why_its_verdict_is_not_typed() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let params = ThreadStartParams::default().ephemeral(true);
        let thread = client.start_thread(params).await.unwrap();
        rig.model.reply(Reply::text(form().to_string()));
        let outcome = thread
            .review(ReviewTarget::custom("look"))
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        let Verdict::Raw { text, reason } = &outcome.verdict else {
            panic!("codex stores nothing of it: {outcome:?}")
        };
        assert!(
            text.contains("Off by one") && reason.contains("ephemeral"),
            "{outcome:?}"
        );
        assert_eq!(outcome.reviewed.head, None);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_review_and_a_compaction_abort_a_running_turn_only_if_told_to() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .reply(Reply::new().delta("working").hold(&Gate::new()));
        let mut turn = thread.ask("go").await.unwrap();
        let at_once = thread
            .review(ReviewTarget::custom("look"))
            .await
            .unwrap_err();
        while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        let while_it_runs = thread
            .review(ReviewTarget::custom("look"))
            .await
            .unwrap_err();
        let compaction = thread.compact().await.unwrap_err();
        for error in [at_once, while_it_runs, compaction] {
            let Error::Invalid(text) = &error else {
                panic!("{error:?}")
            };
            assert!(
                text.contains(turn.id()) && text.contains("interrupt_running"),
                "{text}"
            );
        }
        assert_eq!(rig.model.request_count(), 1);
        rig.model.reply(Reply::text(form().to_string()));
        let review = thread
            .review(ReviewTarget::custom("look"))
            .interrupt_running()
            .await
            .unwrap();
        let Err(Error::Turn(ended)) = turn.finish().await else {
            panic!("it was aborted")
        };
        assert_eq!(ended.outcome.status, TurnStatus::Interrupted);
        assert!(review.finish().await.unwrap().verdict.typed().is_some());
        client.shutdown().await;
    })
    .await;
}

//! `item/commandExecution/requestApproval`.

use std::{sync::Arc, time::Duration};

use cas_sdk::{
    Builder, TurnOutcome,
    handlers::{
        ApprovalRequest, Approvals, Decision, HandlerError, RequestContext, UnclaimedRequest,
    },
    policy::Policy,
    protocol::{CommandExecutionRequestApprovalParams, ThreadReadParams, TurnStatus},
    testing::Reply,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    common::{Rig, codex_test_with, eventually},
    ended, item, start, told, turn,
};

pub(crate) use crate::common::scenes::{asks_for_approval as config, escalated};

/// One turn in which the model wants to run `touch here`.
async fn touch(rig: &Rig, builder: Builder) -> TurnOutcome {
    let _ = std::fs::remove_file(rig.home.work_dir().join("here"));
    rig.model.clear_replies();
    rig.model.reply(escalated("c-1", "touch here"));
    rig.model.reply(Reply::text("done"));
    let client = builder.spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    client.shutdown().await;
    outcome
}

fn touched(rig: &Rig) -> bool {
    rig.home.work_dir().join("here").exists()
}

/// What the command became, and what the model was told, after a refusal.
fn refused(rig: &Rig, outcome: &TurnOutcome) -> (Value, String) {
    assert_eq!(outcome.status, TurnStatus::Completed);
    assert!(!touched(rig));
    (item(outcome, "c-1")["status"].clone(), told(rig, "c-1"))
}

#[tokio::test]
async fn an_accepted_command_runs() {
    struct Yes;
    impl Approvals for Yes {
        async fn command(
            &self,
            request: CommandExecutionRequestApprovalParams,
            cx: RequestContext,
        ) -> Result<Decision, HandlerError> {
            assert_eq!(
                request.command.as_deref(),
                Some("/bin/bash -lc 'touch here'")
            );
            assert_eq!(request.reason.as_deref(), Some("May I?"));
            assert_eq!(cx.item_id.as_deref(), Some("c-1"));
            // A handler may call the client.
            let thread = cx
                .client
                .request(ThreadReadParams::new(request.thread_id))
                .await?;
            assert_eq!(Some(thread.thread.id), cx.thread_id);
            Ok(Decision::Accept)
        }
    }
    codex_test_with(config, 60, async |rig| {
        let outcome = touch(&rig, rig.builder().approvals(Yes)).await;
        assert!(touched(&rig));
        assert_eq!(item(&outcome, "c-1")["status"], "completed");
        assert_eq!(item(&outcome, "c-1")["exitCode"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_declined_command_does_not_run_and_the_turn_goes_on() {
    codex_test_with(config, 180, async |rig| {
        let no = |_: ApprovalRequest, _cx| async { Ok(Decision::Decline) };
        let failing = |_: ApprovalRequest, _cx| async { Err(HandlerError::new("nobody is there")) };
        let panicking = |_: ApprovalRequest, _cx| async { panic!("boom") };
        let silent = |_: ApprovalRequest, _cx| std::future::pending();
        let soon = Duration::from_millis(200);
        for builder in [
            rig.builder(),
            rig.builder().approvals(Policy::decline()),
            rig.builder().approvals(Policy::read_only()),
            rig.builder().approvals(no),
            rig.builder().approvals(failing),
            rig.builder().approvals(panicking),
            rig.builder()
                .approvals(silent)
                .handlers(cas_sdk::Handlers::new().approval_limit(soon, Decision::Decline)),
        ] {
            let outcome = touch(&rig, builder).await;
            let (status, told) = refused(&rig, &outcome);
            assert_eq!(status, "declined");
            assert!(told.contains("rejected by user"), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn nonsense_and_errors_approve_nothing() {
    codex_test_with(config, 60, async |rig| {
        let nonsense = |_: UnclaimedRequest, _cx| async { Ok(json!({"decision": "maybe"})) };
        let empty = |_: UnclaimedRequest, _cx| async { Ok(json!({})) };
        let error = |_: UnclaimedRequest, _cx| async { Err(HandlerError::new("no")) };
        for builder in [
            rig.builder()
                .handlers(cas_sdk::Handlers::new().fallback(nonsense)),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().fallback(empty)),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().fallback(error)),
        ] {
            let outcome = touch(&rig, builder).await;
            let (status, told) = refused(&rig, &outcome);
            assert_eq!(status, "failed");
            assert!(told.contains("approval request failed"), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_command_interrupts_the_turn() {
    codex_test_with(config, 60, async |rig| {
        let cancel = |_: ApprovalRequest, _cx| async { Ok(Decision::Cancel) };
        let outcome = touch(&rig, rig.builder().approvals(cancel)).await;
        assert_eq!(outcome.status, TurnStatus::Interrupted);
        assert!(!touched(&rig));
        assert_eq!(
            rig.model.queued_replies(),
            1,
            "the model is not asked again"
        );
    })
    .await;
}

#[tokio::test]
async fn a_command_accepted_for_the_session_or_for_good_is_not_asked_again() {
    codex_test_with(config, 120, async |rig| {
        let rules = rig.home.path().join("rules/default.rules");
        for decision in [Decision::AcceptForSession, Decision::AcceptAlways] {
            let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let (count, wanted) = (asked.clone(), decision.clone());
            let handler = move |request: ApprovalRequest, _cx| {
                let ApprovalRequest::Command(command) = &request else {
                    panic!("{request:?}")
                };
                assert!(command.proposed_execpolicy_amendment.is_some());
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                std::future::ready(Ok(wanted.clone()))
            };
            let client = rig.builder().approvals(handler).spawn().await.unwrap();
            let thread = start(&client).await;
            for call in ["c-1", "c-2"] {
                rig.model.reply(escalated(call, "touch again"));
                rig.model.reply(Reply::text("done"));
                assert_eq!(item(&turn(&thread).await, call)["status"], "completed");
            }
            // The server does not offer "for the session" here, so that falls back to once.
            let once = decision == Decision::AcceptForSession;
            assert_eq!(
                asked.load(std::sync::atomic::Ordering::SeqCst),
                if once { 2 } else { 1 }
            );
            assert_eq!(rules.exists(), !once);
            client.shutdown().await;
        }
        let rules = std::fs::read_to_string(rules).unwrap();
        assert!(
            rules.contains(r#"prefix_rule(pattern=["touch", "again"], decision="allow")"#),
            "{rules}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_slow_decision_counts_and_waits_visibly() {
    codex_test_with(config, 60, async |rig| {
        rig.model.reply(escalated("c-1", "touch here"));
        rig.model.reply(Reply::text("done"));
        let (decide, decided) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let wait = decide.clone();
        let handler = move |_: ApprovalRequest, _cx| {
            let (wait, decided) = (wait.clone(), decided.clone());
            async move {
                wait.notified().await;
                decided.notify_one();
                Ok(Decision::Accept)
            }
        };
        let client = rig.builder().approvals(handler).spawn().await.unwrap();
        let running = start(&client).await.ask("go").await.unwrap();
        eventually("the handler waits", || {
            !client.pending_requests().is_empty()
        })
        .await;
        let waits = &client.pending_requests()[0];
        assert_eq!(waits.method, "item/commandExecution/requestApproval");
        assert_eq!(waits.turn_id.as_deref(), Some(running.id()));
        decide.notify_one();
        assert_eq!(ended(running).await.text, "done");
        assert!(touched(&rig) && client.pending_requests().is_empty());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_takes_the_request_back_and_nothing_runs() {
    codex_test_with(config, 60, async |rig| {
        rig.model.reply(escalated("c-1", "touch here"));
        let silent = |_: ApprovalRequest, _cx| std::future::pending();
        let client = rig.builder().approvals(silent).spawn().await.unwrap();
        let thread = start(&client).await;
        let running = thread.ask("go").await.unwrap();
        eventually("the handler waits", || {
            !client.pending_requests().is_empty()
        })
        .await;
        running.interrupt().await.unwrap();
        assert_eq!(ended(running).await.status, TurnStatus::Interrupted);
        assert!(client.pending_requests().is_empty() && !touched(&rig));
        rig.model.reply(Reply::text("fine"));
        assert_eq!(turn(&thread).await.text, "fine");
        client.shutdown().await;
    })
    .await;
}

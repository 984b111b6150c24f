//! `item/fileChange/requestApproval`.

use std::sync::{Arc, Mutex};

use cas_sdk::{
    Builder, TurnOutcome,
    handlers::{
        ApprovalRequest, Approvals, Decision, FileChangeApproval, HandlerError, RequestContext,
        UnclaimedRequest,
    },
    policy::{Policy, Rule},
    protocol::TurnStatus,
    testing::Reply,
};
use serde_json::json;

use crate::{
    approvals::config,
    common::{Rig, codex_test_with},
    item, start, told, turn,
};

/// One turn in which the model wants to add a file to the work directory, which is read-only.
async fn patch(rig: &Rig, builder: Builder) -> TurnOutcome {
    let _ = std::fs::remove_file(rig.home.work_dir().join("a.txt"));
    rig.model.clear_replies();
    let patch = "*** Begin Patch\n*** Add File: a.txt\n+new line\n*** End Patch\n";
    rig.model
        .reply(Reply::new().custom_tool_call("c-1", "apply_patch", patch));
    rig.model.reply(Reply::text("done"));
    let client = builder.spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    client.shutdown().await;
    outcome
}

fn patched(rig: &Rig) -> bool {
    rig.home.work_dir().join("a.txt").exists()
}

#[tokio::test]
async fn an_accepted_change_is_made_and_its_diff_was_shown() {
    struct Yes(Arc<Mutex<Vec<(String, String)>>>);
    impl Approvals for Yes {
        async fn file_change(
            &self,
            request: FileChangeApproval,
            _cx: RequestContext,
        ) -> Result<Decision, HandlerError> {
            assert_eq!(request.params.item_id, "c-1");
            let changes = request.changes.into_iter().map(|c| (c.path, c.diff));
            self.0.lock().unwrap().extend(changes);
            Ok(Decision::AcceptForSession)
        }
    }
    codex_test_with(config, 60, async |rig| {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let outcome = patch(&rig, rig.builder().approvals(Yes(shown.clone()))).await;
        assert_eq!(item(&outcome, "c-1")["status"], "completed");
        assert!(patched(&rig));
        let path = rig.home.work_dir().join("a.txt").display().to_string();
        assert_eq!(*shown.lock().unwrap(), [(path, "new line\n".to_owned())]);
    })
    .await;
}

#[tokio::test]
async fn a_refused_change_is_not_made_and_the_turn_goes_on() {
    codex_test_with(config, 120, async |rig| {
        let no = |_: ApprovalRequest, _cx| async { Ok(Decision::Decline) };
        let failing = |_: ApprovalRequest, _cx| async { Err(HandlerError::new("nobody is there")) };
        let panicking = |_: ApprovalRequest, _cx| async { panic!("boom") };
        let nonsense =
            |_: UnclaimedRequest, _cx| async { Ok(json!({"decision": {"accept": true}})) };
        for (builder, text) in [
            (rig.builder(), "patch rejected by user"),
            (rig.builder().approvals(no), "patch rejected by user"),
            (rig.builder().approvals(failing), "patch rejected by user"),
            (rig.builder().approvals(panicking), "patch rejected by user"),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().fallback(nonsense)),
                "approval request failed",
            ),
        ] {
            let outcome = patch(&rig, builder).await;
            assert_eq!(outcome.status, TurnStatus::Completed);
            assert_eq!(item(&outcome, "c-1")["status"], "declined");
            assert!(told(&rig, "c-1").contains(text), "{}", told(&rig, "c-1"));
            assert!(!patched(&rig));
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_change_interrupts_the_turn() {
    codex_test_with(config, 60, async |rig| {
        let cancel = |_: ApprovalRequest, _cx| async { Ok(Decision::Cancel) };
        let outcome = patch(&rig, rig.builder().approvals(cancel)).await;
        assert_eq!(outcome.status, TurnStatus::Interrupted);
        assert!(!patched(&rig));
    })
    .await;
}

#[tokio::test]
async fn rules_see_the_files_that_would_be_changed() {
    codex_test_with(config, 60, async |rig| {
        let inside = Policy::decline().rule(Rule::accept().within(rig.home.work_dir()));
        patch(&rig, rig.builder().approvals(inside)).await;
        assert!(patched(&rig));
        let elsewhere =
            Policy::decline().rule(Rule::accept().within(rig.home.work_dir().join("src")));
        patch(&rig, rig.builder().approvals(elsewhere)).await;
        assert!(!patched(&rig));
    })
    .await;
}

//! `item/permissions/requestApproval`.

use cas_sdk::{
    Builder,
    handlers::{
        ApprovalRequest, Approvals, Decision, Grant, HandlerError, RequestContext, UnclaimedRequest,
    },
    policy::{Permission, Policy, Rule},
    protocol::{PermissionsRequestApprovalParams, TurnStatus},
    testing::{CodexHomeBuilder, Reply},
};
use serde_json::{Value, json};

use crate::{
    common::{Rig, codex_test_with},
    start, told, turn,
};

fn config(home: CodexHomeBuilder) -> CodexHomeBuilder {
    home.model("gpt-5.5")
        .approval_policy("on-request")
        .feature("request_permissions_tool", true)
        .feature("exec_permission_approvals", true)
}

/// One turn in which the model asks for permissions to write and to reach the network. Returns what it was told.
async fn ask(rig: &Rig, builder: Builder) -> Value {
    let out = rig.home.work_dir().join("out");
    let permissions = json!({"file_system": {"write": [out]}, "network": {"enabled": true}});
    let args = json!({"reason": "Because.", "permissions": permissions});
    rig.model
        .reply(Reply::new().function_call("c-1", "request_permissions", args));
    rig.model.reply(Reply::text("done"));
    let client = builder.spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    assert_eq!(
        (outcome.status, outcome.text.as_str()),
        (TurnStatus::Completed, "done")
    );
    client.shutdown().await;
    let told = told(rig, "c-1");
    serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"))
}

#[tokio::test]
async fn a_grant_reaches_the_model_whole_in_part_for_the_turn_or_the_session() {
    struct NetworkOnly;
    impl Approvals for NetworkOnly {
        async fn permissions(
            &self,
            mut request: PermissionsRequestApprovalParams,
            _cx: RequestContext,
        ) -> Result<Grant, HandlerError> {
            assert_eq!(request.reason.as_deref(), Some("Because."));
            request.permissions.file_system = None;
            Ok(Grant::all(&request).for_session())
        }
    }
    codex_test_with(config, 120, async |rig| {
        let told = ask(&rig, rig.builder().approvals(NetworkOnly)).await;
        assert_eq!(told["permissions"]["network"]["enabled"], true);
        assert!(told["permissions"]["file_system"].is_null(), "{told}");
        assert_eq!(told["scope"], "session");

        let all = |_: ApprovalRequest, _cx| async { Ok(Decision::Accept) };
        let told = ask(&rig, rig.builder().approvals(all)).await;
        assert_eq!(told["permissions"]["network"]["enabled"], true);
        assert!(
            told["permissions"]["file_system"]
                .to_string()
                .contains("/work/out"),
            "{told}"
        );
        assert_eq!(told["scope"], "turn");

        let rule = Rule::accept_for_session()
            .permission(Permission::Network)
            .permission(Permission::Write)
            .within(rig.home.work_dir());
        let told = ask(&rig, rig.builder().approvals(Policy::decline().rule(rule))).await;
        assert!(
            told["permissions"]["file_system"]
                .to_string()
                .contains("/work/out"),
            "{told}"
        );
        assert_eq!(told["scope"], "session");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_grants_nothing_and_the_turn_goes_on() {
    codex_test_with(config, 180, async |rig| {
        let no = |_: ApprovalRequest, _cx| async { Ok(Decision::Decline) };
        let failing = |_: ApprovalRequest, _cx| async { Err(HandlerError::new("nobody is there")) };
        let panicking = |_: ApprovalRequest, _cx| async { panic!("boom") };
        let nonsense = |_: UnclaimedRequest, _cx| async { Ok(json!({"decision": "accept"})) };
        let error = |_: UnclaimedRequest, _cx| async { Err(HandlerError::new("no")) };
        for builder in [
            rig.builder(),
            rig.builder().approvals(Policy::auto()),
            rig.builder().approvals(Policy::read_only()),
            rig.builder().approvals(no),
            rig.builder().approvals(failing),
            rig.builder().approvals(panicking),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().fallback(nonsense)),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().fallback(error)),
        ] {
            let told = ask(&rig, builder).await;
            let granted = &told["permissions"];
            assert!(
                granted["network"].is_null() && granted["file_system"].is_null(),
                "{told}"
            );
        }
    })
    .await;
}

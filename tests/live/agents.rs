//! Sub-agents: the server sends their requests to every client that is there when they are spawned.

use cas_sdk::{
    CasClient, Thread,
    client::Role,
    handlers::{ApprovalRequest, Decision, HandlerError},
    testing::{ModelRequest, Reply},
};

use crate::{
    asking,
    common::{
        codex_test_with,
        scenes::{self, is_child},
    },
    connect, escalated,
    listener::{Listener, builder},
    made, started, waiting,
};

/// The parent spawns a child which wants to run a command outside of the sandbox, and waits for it.
fn play(request: &ModelRequest) -> Reply {
    if !is_child(request) {
        return scenes::parent(request);
    }
    match request.tool_output("c-1") {
        None => escalated("c-1", "touch made-by-the-child"),
        Some(_) => Reply::text("child done"),
    }
}

/// A client whose approval handler answers so, and its thread after a first turn.
async fn parent(
    rig: &crate::Rig,
    listener: &Listener,
    answer: Option<Decision>,
) -> (CasClient, Thread) {
    let answers = move |_: ApprovalRequest, _| {
        let answer = answer.clone();
        async move {
            match answer {
                Some(answer) => Ok::<_, HandlerError>(answer),
                None => std::future::pending().await,
            }
        }
    };
    let owner = builder(rig).approvals(answers);
    let owner = owner.connect_to(&listener.address).await.unwrap();
    let thread = started(rig, &owner).await;
    rig.model.respond_with(play);
    (owner, thread)
}

#[tokio::test]
async fn the_owner_of_the_parent_answers_for_the_child_and_bystanders_are_silent() {
    codex_test_with(asking, 120, async |rig| {
        let listener = Listener::unix(&rig).await;
        let (_owner, thread) = parent(&rig, &listener, Some(Decision::Accept)).await;
        // It follows no thread, and has no handlers: it would decline.
        let bystander = connect(&rig, &listener, Role::Driver).await;
        let requests = cas_sdk::Filter::all().kind(cas_sdk::events::MessageKind::Request);
        let mut seen = bystander.events(requests);
        let outcome = thread.ask("go").await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.text, "parent done");
        assert!(made(&rig, "made-by-the-child"));
        let request = seen.next().await.unwrap().unwrap();
        assert_ne!(
            request.thread_id(),
            Some(thread.id()),
            "the server sent it here too"
        );
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_bystander_that_drives_answers_for_the_child_explicitly() {
    codex_test_with(asking, 120, async |rig| {
        let listener = Listener::unix(&rig).await;
        let (owner, thread) = parent(&rig, &listener, None).await;
        let observer = connect(&rig, &listener, Role::Observer).await;
        let driver = connect(&rig, &listener, Role::Driver).await;
        let turn = thread.ask("go").await.unwrap();
        let request = waiting(&driver).await;
        assert_ne!(request.thread_id.as_deref(), Some(thread.id()));
        assert!(!request.is_ours());
        assert!(
            waiting(&owner).await.is_ours(),
            "the child of its own thread"
        );
        waiting(&observer).await.accept().await.unwrap_err();
        request.accept().await.unwrap();
        assert_eq!(turn.finish().await.unwrap().text, "parent done");
        assert!(made(&rig, "made-by-the-child"));
        listener.end().await;
    })
    .await;
}

//! What an observer, a driver and an owner do on a server that another program runs.

use cas_sdk::{
    Error, ErrorClass, Handlers, Tool, ToolContext, ToolError,
    client::Role,
    handlers::{
        ChatgptTokens, HandlerError, PendingRequestChange as Change, RefreshRequest, Settled,
    },
    protocol::{ThreadGoalGetParams, ThreadSetNameParams, TurnStartParams},
    testing::{CodexHomeBuilder, Reply, jwt},
};
use serde_json::{Value, json};

use crate::{
    asking,
    common::{codex_test, codex_test_with, eventually},
    connect, escalated, finished,
    listener::{Listener, builder},
    made, session, started, told, waiting,
};

#[tokio::test]
async fn the_role_follows_from_who_runs_the_server_unless_it_is_set() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let joined = builder(&rig).connect_to(&listener.address).await.unwrap();
        assert_eq!(joined.role(), Role::Observer);
        let driver = connect(&rig, &listener, Role::Driver).await;
        assert_eq!(driver.role(), Role::Driver);
        assert_eq!(rig.client().await.role(), Role::Owner);
        let error = rig
            .builder()
            .role(Role::Observer)
            .spawn()
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("Observer")),
            "{error:?}"
        );
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn an_observer_leaves_an_approval_to_its_owner_and_sees_what_becomes_of_it() {
    codex_test_with(asking, 120, async |rig| {
        for listener in [Listener::unix(&rig).await, Listener::ws(&rig, &[]).await] {
            let (owner, thread) = session(&rig, &listener).await;
            let observer = connect(&rig, &listener, Role::Observer).await;
            observer.resume_thread(thread.id()).await.unwrap();
            let mut changes = observer.pending_request_changes();
            rig.model.reply(escalated("c-1", "touch here"));
            rig.model.reply(Reply::text("done"));
            let turn = thread.ask("go").await.unwrap();
            let Some(Change::Added(request)) = changes.next().await else {
                panic!("it is not shown");
            };
            assert!(!request.is_ours());
            assert_eq!(request.thread_id.as_deref(), Some(thread.id()));
            let error = request.accept().await.unwrap_err();
            assert!(
                matches!(&error, Error::Observer { thread_id, .. } if thread_id.as_deref() == Some(thread.id())),
                "{error:?}"
            );
            assert!(error.to_string().contains("Role::Driver"), "{error}");
            assert_eq!(error.class(), ErrorClass::Denied);
            // The owner still has to answer: nothing of the observer has reached the server.
            observer.request(ThreadGoalGetParams::new(thread.id())).await.unwrap();
            assert_eq!(request.settled(), None);
            assert!(waiting(&owner).await.is_ours());
            waiting(&owner).await.accept().await.unwrap();
            turn.finish().await.unwrap();
            assert!(made(&rig, "here"));
            std::fs::remove_file(rig.home.work_dir().join("here")).unwrap();
            let Some(Change::Settled(settled)) = changes.next().await else {
                panic!("it still waits");
            };
            assert_eq!(settled.settled(), Some(Settled::Resolved));
            assert_eq!(request.until_settled().await, Settled::Resolved);
            let late = request.decline().await.unwrap_err();
            assert!(matches!(&late, Error::NotPending { .. }), "{late:?}");
            listener.end().await;
            assert!(changes.next().await.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn an_observer_changes_nothing_in_the_threads_of_others_and_does_all_in_its_own() {
    codex_test_with(asking, 60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let (_owner, thread) = session(&rig, &listener).await;
        let observer = builder(&rig).connect_to(&listener.address).await.unwrap();
        let joined = observer.resume_thread(thread.id()).await.unwrap();
        let requests = rig.model.request_count();
        for error in [
            joined.ask("go").await.map(drop).unwrap_err(),
            joined.set_name("mine").await.unwrap_err(),
            joined.archive().await.unwrap_err(),
            observer
                .request(TurnStartParams::new(thread.id(), Vec::new()))
                .await
                .map(drop)
                .unwrap_err(),
            observer
                .call::<Value>("thread/newMethod", &json!({"threadId": thread.id()}))
                .await
                .unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Observer { .. }), "{error:?}");
        }
        assert_eq!(rig.model.request_count(), requests);
        joined.fetch().await.unwrap();
        assert!(joined.running_turn().await.unwrap().is_none());

        // Its own thread, with an approval that nobody accepts.
        let own = started(&rig, &observer).await;
        own.set_name("mine").await.unwrap();
        rig.model.reply(escalated("c-1", "touch there"));
        rig.model.reply(Reply::text("done"));
        assert_eq!(finished(&own).await.text, "done");
        assert!(!made(&rig, "there"));
        let fork = joined.fork().await.unwrap();
        fork.set_name("a copy").await.unwrap();

        let driver = connect(&rig, &listener, Role::Driver).await;
        let params = ThreadSetNameParams::new(thread.id(), "ours");
        driver.request(params).await.unwrap();
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_asked_for_it_answers_the_requests_of_others_too() {
    codex_test_with(asking, 60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let (_starter, thread) = session(&rig, &listener).await;
        let owner = connect(&rig, &listener, Role::Owner).await;
        owner.resume_thread(thread.id()).await.unwrap();
        rig.model.reply(escalated("c-1", "touch here"));
        rig.model.reply(Reply::text("done"));
        assert_eq!(finished(&thread).await.text, "done");
        assert!(!made(&rig, "here"), "the owner's default declines");
        listener.end().await;
    })
    .await;
}

/// A tool that takes its time.
struct Slow(std::sync::Arc<tokio::sync::Notify>);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

impl Tool for Slow {
    const NAME: &'static str = "slow";
    const DESCRIPTION: &'static str = "Takes its time.";
    type Args = Nothing;
    type Output = String;

    async fn call(&self, _: Nothing, _cx: ToolContext) -> Result<String, ToolError> {
        self.0.notified().await;
        Ok("forty-two".to_owned())
    }
}

#[tokio::test]
async fn an_observer_does_not_break_the_tools_of_other_clients() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let go = std::sync::Arc::new(tokio::sync::Notify::new());
        let owner = builder(&rig).tool(Slow(go.clone()));
        let owner = owner.connect_to(&listener.address).await.unwrap();
        let thread = started(&rig, &owner).await;
        let observer = connect(&rig, &listener, Role::Observer).await;
        observer.resume_thread(thread.id()).await.unwrap();
        rig.model
            .reply(Reply::new().function_call("c-1", "slow", json!({})));
        rig.model.reply(Reply::text("done"));
        let turn = thread.ask("go").await.unwrap();
        let request = waiting(&observer).await;
        assert_eq!(request.method, "item/tool/call");
        assert!(request.offers().is_empty());
        go.notify_one();
        assert_eq!(turn.finish().await.unwrap().text, "done");
        let told = told(&rig, "c-1");
        assert!(told.contains("forty-two"));
        eventually("the call is over", || {
            observer.pending_requests().is_empty()
        })
        .await;
        assert_eq!(request.settled(), Some(Settled::Over));
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn tokens_are_refreshed_by_the_client_that_made_the_login() {
    codex_test_with(CodexHomeBuilder::chatgpt_auth, 120, async |rig| {
        let listener = Listener::unix(&rig).await;
        let new = jwt("org-1", "pro");
        rig.model.require_bearer(&new);
        let refresh = {
            let new = new.clone();
            move |_: RefreshRequest, _| {
                let new = new.clone();
                async move {
                    // If another client answered, it would be first.
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                    Ok::<_, HandlerError>(ChatgptTokens::new(new, "org-1").plan("pro"))
                }
            }
        };
        let owner = builder(&rig).handlers(Handlers::new().auth_refresh(refresh));
        let owner = owner.connect_to(&listener.address).await.unwrap();
        // Other clients get the request too. One has a handler, which would fail the turn.
        let fails = |_: RefreshRequest, _| async { Err(HandlerError::new("no vault here")) };
        let other = builder(&rig).handlers(Handlers::new().auth_refresh(fails));
        let other = other.role(Role::Driver);
        let other = other.connect_to(&listener.address).await.unwrap();
        let observer = connect(&rig, &listener, Role::Observer).await;
        let mut seen = observer.events(cas_sdk::Filter::all().method("account/chatgptAuthTokens/refresh"));
        let token = jwt("org-1", "plus");
        let params = json!({"type": "chatgptAuthTokens", "accessToken": token, "chatgptAccountId": "org-1", "chatgptPlanType": "pro"});
        owner.call::<Value>("account/login/start", &params).await.unwrap();
        let thread = started(&rig, &owner).await;
        assert_eq!(rig.model.requests().last().unwrap().bearer(), Some(new.as_str()));
        assert!(seen.next().await.unwrap().is_ok(), "the observer was asked");
        drop((thread, other));
        listener.end().await;
    })
    .await;
}

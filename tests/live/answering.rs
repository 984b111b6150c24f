//! Requests that are answered explicitly, from outside of a handler.

use cas_sdk::{
    Error,
    client::Role,
    handlers::{Answers, Decision, PendingRequestChange as Change, Settled},
    protocol::ServerRequest,
    testing::Reply,
};
use serde_json::json;

use crate::{
    asking,
    common::{codex_test_with, eventually, within},
    connect, escalated,
    listener::Listener,
    made, session, started, told, waiting,
};

#[tokio::test]
async fn a_driver_answers_in_the_place_of_the_owner_and_once() {
    codex_test_with(asking, 120, async |rig| {
        for listener in [Listener::unix(&rig).await, Listener::ws(&rig, &[]).await] {
            let (owner, thread) = session(&rig, &listener).await;
            let driver = connect(&rig, &listener, Role::Driver).await;
            driver.resume_thread(thread.id()).await.unwrap();
            rig.model.reply(escalated("c-1", "touch here"));
            rig.model.reply(Reply::text("done"));
            let turn = thread.ask("go").await.unwrap();
            let request = waiting(&driver).await;
            let ServerRequest::ItemCommandExecutionRequestApproval(params) =
                request.request().unwrap()
            else {
                panic!("{request:?}");
            };
            assert!(params.command.unwrap().contains("touch here"));
            let offers = request.offers();
            assert!(offers.contains(&Decision::Accept), "{offers:?}");
            assert!(offers.contains(&Decision::Decline), "{offers:?}");
            let other = Decision::AcceptWithExecpolicyAmendment(vec!["rm".to_owned()]);
            assert!(!offers.contains(&other));
            let wrong = request.answer(Answers::new()).await.unwrap_err();
            assert!(matches!(&wrong, Error::Invalid(_)), "{wrong:?}");
            let host = Decision::ApplyNetworkPolicyAmendment {
                allow: true,
                host: "x.org".into(),
            };
            let wider = request.answer(host).await.unwrap_err();
            assert!(matches!(&wider, Error::Invalid(_)), "{wider:?}");
            assert_eq!(request.settled(), None, "neither was sent");
            request.accept().await.unwrap();
            assert_eq!(request.settled(), Some(Settled::Answered));
            let again = request.clone().decline().await.unwrap_err();
            assert!(
                matches!(&again, Error::NotPending { id, .. } if *id == request.id),
                "{again:?}"
            );
            assert_eq!(turn.finish().await.unwrap().text, "done");
            assert!(made(&rig, "here"));
            std::fs::remove_file(rig.home.work_dir().join("here")).unwrap();
            eventually("it waits nowhere", || {
                owner.pending_requests().is_empty() && driver.pending_requests().is_empty()
            })
            .await;
            listener.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_drivers_that_answer_at_once_one_wins() {
    codex_test_with(asking, 120, async |rig| {
        let listener = Listener::unix(&rig).await;
        let (_owner, thread) = session(&rig, &listener).await;
        let yes = connect(&rig, &listener, Role::Driver).await;
        let no = connect(&rig, &listener, Role::Driver).await;
        let late = connect(&rig, &listener, Role::Driver).await;
        for client in [&yes, &no, &late] {
            client.resume_thread(thread.id()).await.unwrap();
        }
        for round in 0..4 {
            let file = format!("file-{round}");
            rig.model
                .reply(escalated(&format!("c-{round}"), &format!("touch {file}")));
            rig.model.reply(Reply::text("done"));
            let turn = thread.ask("go").await.unwrap();
            let (accepting, declining) = (waiting(&yes).await, waiting(&no).await);
            let third = waiting(&late).await;
            let (accepted, declined) = tokio::join!(accepting.accept(), declining.decline());
            assert!(
                accepted.is_ok() || declined.is_ok(),
                "{accepted:?} {declined:?}"
            );
            let outcome = turn.finish().await.unwrap();
            assert_eq!(outcome.text, "done");
            let told = told(&rig, &format!("c-{round}"));
            let rejected = told.contains("rejected by user");
            assert_eq!(made(&rig, &file), !rejected, "one of them, and whole");
            assert_eq!(third.until_settled().await, Settled::Resolved);
            assert!(third.accept().await.is_err());
        }
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_the_same_request() {
    codex_test_with(asking, 120, async |rig| {
        let listener = Listener::unix(&rig).await;
        let (owner, thread) = session(&rig, &listener).await;
        let driver = connect(&rig, &listener, Role::Driver).await;
        let mut changes = driver.pending_request_changes();
        rig.model.reply(escalated("c-1", "touch here"));
        rig.model.reply(Reply::text("done"));
        let turn = thread.ask("go").await.unwrap();
        waiting(&owner).await;
        let requests = cas_sdk::Filter::all().kind(cas_sdk::events::MessageKind::Request);
        let mut sent = driver.events(requests);
        // Each of them replays what waits.
        let mut first = None;
        for _ in 0..3 {
            driver.resume_thread(thread.id()).await.unwrap();
            sent.next().await.unwrap().unwrap();
            first.get_or_insert(waiting(&driver).await);
        }
        let request = first.unwrap();
        assert_eq!(waiting(&driver).await.since, request.since);
        let Some(Change::Added(added)) = changes.next().await else {
            panic!("it is not shown");
        };
        assert_eq!(added.id, request.id);
        request.accept().await.unwrap();
        turn.finish().await.unwrap();
        assert!(
            matches!(changes.next().await, Some(Change::Settled(_))),
            "and not once more"
        );
        driver.resume_thread(thread.id()).await.unwrap();
        assert!(driver.pending_requests().is_empty());
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_gone_with_its_turn_with_the_subscription_and_with_the_connection() {
    codex_test_with(asking, 120, async |rig| {
        let mut listener = Listener::unix(&rig).await;
        let (_owner, thread) = session(&rig, &listener).await;
        let driver = connect(&rig, &listener, Role::Driver).await;
        let joined = driver.resume_thread(thread.id()).await.unwrap();
        let ask = async |call: &str| {
            rig.model.reply(escalated(call, "touch here"));
            let turn = thread.ask("go").await.unwrap();
            drop(turn.detach());
            waiting(&driver).await
        };
        let first = ask("c-1").await;
        joined
            .running_turn()
            .await
            .unwrap()
            .unwrap()
            .interrupt()
            .await
            .unwrap();
        assert!(matches!(
            first.until_settled().await,
            Settled::Resolved | Settled::Over
        ));
        let second = ask("c-2").await;
        joined.unsubscribe().await.unwrap();
        assert_eq!(second.until_settled().await, Settled::Unfollowed);
        driver.resume_thread(thread.id()).await.unwrap();
        let third = waiting(&driver).await;
        assert_eq!(third.id, second.id, "it is replayed");
        listener.kill().await;
        assert_eq!(third.until_settled().await, Settled::Closed);
        let error = third.accept().await.unwrap_err();
        assert!(matches!(&error, Error::NotPending { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_driver_answers_the_questions_of_the_model() {
    let config = |home: cas_sdk::testing::CodexHomeBuilder| {
        home.feature("default_mode_request_user_input", true)
    };
    codex_test_with(config, 60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let away = |_: cas_sdk::protocol::ToolRequestUserInputParams, _| {
            std::future::pending::<Result<Answers, cas_sdk::handlers::HandlerError>>()
        };
        let owner = crate::builder(&rig).handlers(cas_sdk::Handlers::new().user_input(away));
        let owner = owner.connect_to(&listener.address).await.unwrap();
        let thread = started(&rig, &owner).await;
        let driver = connect(&rig, &listener, Role::Driver).await;
        driver.resume_thread(thread.id()).await.unwrap();
        let option = |label: &str| json!({"label": label, "description": "A colour."});
        let questions = json!({"questions": [{"id": "colour", "header": "Colour", "question": "Which colour?", "options": [option("red"), option("blue")]}]});
        rig.model.reply(Reply::new().function_call("c-1", "request_user_input", questions));
        rig.model.reply(Reply::text("done"));
        let turn = thread.ask("go").await.unwrap();
        let request = waiting(&driver).await;
        let unasked = Answers::new().answer("size", "large");
        assert!(matches!(request.answer(unasked).await, Err(Error::Invalid(_))));
        assert!(matches!(request.accept().await, Err(Error::Invalid(_))));
        let blue = Answers::new().answer("colour", "blue");
        request.answer(blue).await.unwrap();
        assert_eq!(within(30, turn.finish()).await.unwrap().text, "done");
        let told = told(&rig, "c-1");
        assert!(told.contains("blue"));
        listener.end().await;
    })
    .await;
}

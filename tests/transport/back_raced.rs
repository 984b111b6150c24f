//! Coming back while something else happens at the same moment, on a server that the test plays.

use std::pin::pin;

use cas_sdk::{
    Error, Supervisor,
    supervisor::{ServerState, ThreadEvent},
};
use serde_json::json;

use crate::{
    back::quick,
    back_played::{THREAD, completed, lives, opened, plain, supervised, until_back},
    common::within,
    frames::Server,
};

/// Answers the next request, which resumes the thread. Returns its id.
async fn resume(server: &mut Server) -> serde_json::Value {
    let heard = server.hear().await;
    assert_eq!(heard["method"], "thread/resume");
    heard["id"].clone()
}

/// Waits for the connection with this number.
async fn runs(supervisor: &Supervisor, number: u64) {
    let mut states = supervisor.states();
    while let Some(state) = states.next().await {
        if matches!(state, ServerState::Running { epoch, .. } if epoch == number) {
            return;
        }
    }
    panic!("it was stopped");
}

#[tokio::test]
async fn a_thread_that_is_resumed_twice_at_once_is_told_once() {
    within(30, async {
        let mut server = Server::start().await;
        let (supervisor, _thread) = supervised(&mut server, quick()).await;
        let mut events = opened(&mut server, &supervisor).await;
        server.comes_back().await;
        let id = resume(&mut server).await;
        let refusal = json!({"code": -32600, "message": "not now"});
        server.say(&json!({"id": id, "error": refusal})).await;
        let lost = events.next().await.unwrap().unwrap();
        assert!(matches!(lost, ThreadEvent::Lost { .. }), "{lost:?}");
        let error = events.next().await.unwrap().unwrap_err();
        assert!(error.rpc().is_some(), "{error:?}");
        runs(&supervisor, 1).await;

        // Both find the thread lost.
        let mut twice =
            pin!(async { tokio::join!(supervisor.thread(THREAD), supervisor.thread(THREAD)) });
        let (first, second) = tokio::select! {
            _ = &mut twice => panic!("nothing was answered"),
            ids = async { (resume(&mut server).await, resume(&mut server).await) } => ids,
        };
        let says = |id| json!({"id": id, "result": plain("thread/resume").said.unwrap()});
        server.say(&says(first)).await;
        let told = tokio::select! {
            _ = &mut twice => panic!("the other was not answered"),
            told = server.plays(|method, _| plain(method), until_back(&mut events)) => told,
        };
        assert!(
            matches!(told[..], [ThreadEvent::Reconnected { epoch: 1, .. }]),
            "{told:?}"
        );
        server.say(&says(second)).await;
        let (one, other) = twice.await;
        assert!(one.is_ok() && other.is_ok());
        server.notifies([completed("u1", "i1")]).await;
        assert_eq!(lives(&mut events).await, "i1");

        // A task of its own sees the loss before the supervisor does.
        let back = tokio::spawn(async move { until_back(&mut events).await });
        tokio::task::yield_now().await;
        server.comes_back().await;
        let told = server.plays(|method, _| plain(method), back).await.unwrap();
        assert!(
            matches!(
                told[..],
                [
                    ThreadEvent::Lost { .. },
                    ThreadEvent::Reconnected { epoch: 2, .. }
                ]
            ),
            "{told:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_threads_that_the_server_does_not_resume() {
    within(30, async {
        let mut server = Server::start().await;
        let (supervisor, thread) = supervised(&mut server, quick()).await;
        server.comes_back().await;
        resume(&mut server).await;
        supervisor.shutdown().await;
        assert!(matches!(supervisor.state(), ServerState::Stopped));
        let end = supervisor.thread(thread.id()).await.unwrap_err();
        assert!(matches!(end, Error::Closed(_)), "{end:?}");
    })
    .await;
}

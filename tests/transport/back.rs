//! Coming back: a supervisor connects again to a server that somebody else runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cas_sdk::{
    Error, RpcErrorKind, Supervisor,
    error::{ConnectError, ConnectErrorKind},
    handlers::{ApprovalRequest, Decision, HandlerError},
    live::Endpoint,
    protocol::{ModelListParams, ThreadStartParams},
    supervisor::{Restart, ServerState, ThreadEvent},
    testing::{Gate, Reply},
};
use rustix::process::Signal;

use crate::{
    common::{
        Rig, codex_test, eventually, is_alive,
        scenes::{asks_for_approval, escalated},
        within,
    },
    cut::Cut,
    frames::Server,
    listener::{Listener, builder, socket},
};

pub(crate) fn quick() -> Restart {
    let ms = Duration::from_millis;
    Restart::default().backoff(ms(20), ms(100)).attempts(1_000)
}

pub(crate) async fn supervise(rig: &Rig, address: &str) -> Supervisor {
    let supervisor = builder(rig).supervise_connection(address, quick());
    supervisor.await.unwrap()
}

/// A thread with one completed turn.
pub(crate) async fn begun(rig: &Rig, supervisor: &Supervisor) -> cas_sdk::Thread {
    let params = ThreadStartParams::default();
    let thread = supervisor.start_thread(params).await.unwrap();
    rig.model.reply(Reply::text("first"));
    thread.ask("begin").await.unwrap().finish().await.unwrap();
    thread
}

/// Waits for the connection with this number.
pub(crate) async fn epoch(supervisor: &Supervisor, wanted: u64) {
    let mut states = supervisor.states();
    while let Some(state) = states.next().await {
        match state {
            ServerState::Running { epoch, lost, .. } if epoch >= wanted => {
                assert!(lost.is_empty(), "{lost:?}");
                return;
            }
            ServerState::GaveUp { error } => panic!("{error:?}"),
            _ => {}
        }
    }
    panic!("it was stopped");
}

#[tokio::test]
async fn a_lost_connection_is_told_and_made_again_and_the_server_is_left_alone() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let cut = Cut::before(&socket(&rig));
        let supervisor = supervise(&rig, &cut.address).await;
        let thread = begun(&rig, &supervisor).await;
        let mut states = supervisor.states();
        assert!(matches!(
            states.next().await,
            Some(ServerState::Running { epoch: 0, .. })
        ));
        cut.cut();
        let Some(ServerState::Reconnecting {
            attempt: 1,
            pause,
            error,
        }) = states.next().await
        else {
            panic!("the loss is told")
        };
        assert!(pause <= Duration::from_millis(20), "{pause:?}");
        assert!(matches!(error, Error::Closed(_)), "{error:?}");
        epoch(&supervisor, 1).await;
        let again = supervisor.thread(thread.id()).await.unwrap();
        rig.model.reply(Reply::text("second"));
        let turn = again.ask("go on").await.unwrap();
        assert_eq!(supervisor.finish(turn).await.unwrap().text, "second");

        // Dropped while it is connected, and while it is not.
        drop((again, thread, states));
        let twin = supervise(&rig, &cut.address).await;
        drop(supervisor);
        twin.client()
            .await
            .unwrap()
            .request(ModelListParams::default())
            .await
            .unwrap();
        let mut states = twin.states();
        cut.close(true);
        cut.cut();
        while !matches!(states.next().await, Some(ServerState::Reconnecting { .. })) {}
        drop(twin);
        assert!(matches!(states.next().await, Some(ServerState::Stopped)));
        cut.close(false);
        eventually("no connection is left", || cut.is_idle()).await;
        assert!(is_alive(listener.pid()));
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_gone_for_good_is_given_up_with_the_reason() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let policy = quick().attempts(3);
        let supervisor = builder(&rig).supervise_connection(&*listener.address, policy);
        let supervisor = supervisor.await.unwrap();
        let thread = begun(&rig, &supervisor).await;
        let mut events = supervisor.thread_events(thread.id()).await.unwrap();
        rig.model
            .reply(Reply::new().delta("half").hold(&Gate::new()));
        let turn = thread.ask("go").await.unwrap();
        rig.model.wait_for_requests(2).await;
        listener.signal(Signal::TERM);
        listener.end().await;
        let error = supervisor.finish(turn).await.unwrap_err();
        assert!(error.close_reason().is_some(), "{error:?}");
        let Error::Connect(ConnectError { kind, .. }) = supervisor.client().await.unwrap_err()
        else {
            panic!("the reason is told")
        };
        assert!(matches!(kind, ConnectErrorKind::NoServer), "{kind:?}");
        assert!(matches!(supervisor.state(), ServerState::GaveUp { .. }));
        let mut lost = false;
        let end = loop {
            match events.next().await.unwrap() {
                Ok(ThreadEvent::Lost { .. }) => lost = true,
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(lost && matches!(end, Error::Connect(_)), "{end:?}");
        assert!(events.next().await.is_none(), "once");
    })
    .await;
}

#[tokio::test]
async fn a_server_of_another_home_is_refused() {
    codex_test(60, async |rig| {
        let other = Rig::new().await.unwrap();
        let listener = Listener::unix(&rig).await;
        let supervisor = supervise(&rig, &listener.address).await;
        listener.end().await;
        let listener = Listener::unix_at(&other, &socket(&rig)).await;
        let error = supervisor.client().await.unwrap_err();
        let Error::Connect(ConnectError { kind, .. }) = &error else {
            panic!("{error:?}")
        };
        let ConnectErrorKind::OtherServer { what, was, is, .. } = kind else {
            panic!("{error:?}")
        };
        assert_eq!(*what, "home");
        assert_eq!(was, rig.home.path().to_str().unwrap());
        assert_eq!(is, other.home.path().to_str().unwrap());
        assert!(is_alive(listener.pid()));
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_of_another_version_is_refused_unless_any_version_will_do() {
    within(60, async {
        for any in [false, true] {
            let mut server = Server::start().await;
            let mut endpoint: Endpoint = server.address().parse().unwrap();
            if any {
                endpoint = endpoint.any_version();
            }
            let builder = cas_sdk::CasClient::builder();
            let supervising = builder.supervise_connection(endpoint, quick());
            let (supervisor, ()) = tokio::join!(supervising, server.greets("x/0.171.0"));
            let supervisor = supervisor.unwrap();
            server.socket = None;
            server.greets("x/0.172.0").await;
            let client = supervisor.client().await;
            assert_eq!(client.is_ok(), any, "{client:?}");
            if let Err(error) = client {
                assert!(error.to_string().contains("0.172.0"), "{error}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_drains_is_waited_for_and_its_turn_is_found_on_the_next_one() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        let cut = Cut::before(&socket(&rig));
        let supervisor = supervise(&rig, &cut.address).await;
        let thread = begun(&rig, &supervisor).await;
        let gate = Gate::new();
        rig.model
            .reply(Reply::new().delta("half").hold(&gate).delta(" and whole"));
        let turn = thread.ask("go").await.unwrap();
        rig.model.wait_for_requests(2).await;
        listener.signal(Signal::TERM);
        let other = builder(&rig).connect_to(&listener.address).await.unwrap();
        while other.resume_thread(thread.id()).await.is_ok() {}
        let refusal = thread.ask("more").await.unwrap_err();
        assert_eq!(refusal.rpc_kind(), Some(RpcErrorKind::Draining));
        let mut states = supervisor.states();
        cut.cut();
        loop {
            if let Some(ServerState::Reconnecting { error, .. }) = states.next().await
                && error.rpc_kind() == Some(RpcErrorKind::Draining)
            {
                break;
            }
        }
        gate.open();
        eventually("it ends", || !is_alive(listener.pid())).await;
        let listener = Listener::unix(&rig).await;
        epoch(&supervisor, 2).await;
        let outcome = supervisor.finish(turn).await.unwrap();
        assert_eq!(outcome.text, "half and whole");
        assert!(outcome.recovered);
        supervisor.shutdown().await;
        assert!(is_alive(listener.pid()));
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_replayed_approval_is_one_request_and_is_answered_by_the_handlers_of_before() {
    let rig = Rig::with(asks_for_approval).await;
    let Some(rig) = rig else { return };
    within(60, async {
        let listener = Listener::unix(&rig).await;
        let cut = Cut::before(&socket(&rig));
        let asked = Arc::new(AtomicUsize::new(0));
        let answers = {
            let asked = asked.clone();
            move |_: ApprovalRequest, _| {
                let before = asked.fetch_add(1, Ordering::SeqCst);
                async move {
                    if before == 0 {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, HandlerError>(Decision::Accept)
                }
            }
        };
        let supervisor = builder(&rig).approvals(answers);
        let supervisor = supervisor.supervise_connection(&*cut.address, quick());
        let supervisor = supervisor.await.unwrap();
        let thread = begun(&rig, &supervisor).await;
        // Another client of the same thread, which leaves the request alone.
        let other = supervise(&rig, &cut.address).await;
        let client = other.client().await.unwrap();
        other.keep(&client.resume_thread(thread.id()).await.unwrap());

        rig.model.reply(escalated("c-1", "touch here"));
        let turn = thread.ask("go").await.unwrap();
        eventually("both are asked", || {
            asked.load(Ordering::SeqCst) == 1 && client.pending_requests().len() == 1
        })
        .await;
        let first = client.pending_requests();
        rig.model.reply(Reply::text("done"));
        other.client().await.unwrap();
        cut.cut();
        assert_eq!(supervisor.finish(turn).await.unwrap().text, "done");
        assert!(rig.home.work_dir().join("here").exists(), "it was accepted");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "once on each connection");
        epoch(&other, 1).await;
        let client = other.client().await.unwrap();
        eventually("nothing waits any longer", || {
            client.pending_requests().is_empty()
        })
        .await;
        assert_eq!(first[0].method, "item/commandExecution/requestApproval");
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stopped_answering_is_joined_again_once_it_answers() {
    codex_test(90, async |rig| {
        let (unix, ws) = (Listener::unix(&rig).await, Listener::ws(&rig, &[]).await);
        for listener in [unix, ws] {
            let endpoint: Endpoint = listener.address.parse().unwrap();
            let endpoint = endpoint.ping_every(Duration::from_millis(300));
            let supervisor = builder(&rig)
                .handshake_timeout(Duration::from_secs(1))
                .supervise_connection(endpoint, quick())
                .await
                .unwrap();
            let thread = begun(&rig, &supervisor).await;
            let gate = Gate::new();
            rig.model
                .reply(Reply::new().delta("half").hold(&gate).delta(" and whole"));
            rig.model.clear_requests();
            let turn = thread.ask("go").await.unwrap();
            rig.model.wait_for_requests(1).await;
            listener.signal(Signal::STOP);
            let mut states = supervisor.states();
            let lost = loop {
                if let Some(ServerState::Reconnecting { error, .. }) = states.next().await {
                    break error;
                }
            };
            assert!(lost.to_string().contains("ping"), "{lost}");
            listener.signal(Signal::CONT);
            epoch(&supervisor, 1).await;
            gate.open();
            let outcome = supervisor.finish(turn).await.unwrap();
            assert_eq!(outcome.text, "half and whole");
            supervisor.shutdown().await;
            listener.end().await;
        }
    })
    .await;
}

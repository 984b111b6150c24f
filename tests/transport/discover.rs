//! Discovery: servers, threads with their pending requests, stale sockets, sessions without a
//! socket.

use std::{
    fs,
    os::unix::net::UnixListener,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use cas_sdk::{
    Error, Live,
    error::ConnectErrorKind as Kind,
    live::{Endpoint, Holder, LiveStatus, LiveThread, ServerOwner, ThreadRole, Unreachable},
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};
use rustix::process::Signal;
use tokio::sync::Notify;

use crate::{
    common::{
        Rig, codex_test, codex_test_with,
        scenes::{accepts_when_told, asks_for_approval, escalated},
        within,
    },
    listener::{Listener, builder, socket},
    terminal::Terminal,
};

/// The kind of an unreachable address.
fn why(place: &Unreachable) -> &Kind {
    match &place.error {
        Error::Connect(error) => &error.kind,
        other => panic!("{other:?}"),
    }
}

/// Repeats the discovery until its result is as expected.
async fn look(rig: &Rig, sees: impl Fn(&Live) -> bool) -> Live {
    let begun = Instant::now();
    loop {
        let live = Live::discover().home(rig.home.path()).await;
        if sees(&live) {
            return live;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{live:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The threads of the first server, if it answered in time.
fn threads(live: &Live) -> &[LiveThread] {
    live.servers.first().map_or(&[], |server| &server.threads)
}

/// Whether the only thread is like this. The server may not have stored its first turn yet.
fn thread_is(live: &Live, is_wanted: impl Fn(&LiveThread) -> bool) -> bool {
    matches!(threads(live), [thread] if is_wanted(thread))
}

#[tokio::test]
async fn a_server_is_listed_with_its_version_its_home_and_its_owner() {
    codex_test(60, async |rig| {
        let own = rig.builder().serve("unix://").await.unwrap();
        let other = Listener::ws(&rig, &[]).await;
        let live = Live::discover()
            .home(rig.home.path())
            .endpoint(other.address.parse().unwrap())
            .await;
        assert!(
            live.unreachable.is_empty() && live.held.is_empty(),
            "{live:?}"
        );
        let [ours, others] = &live.servers[..] else {
            panic!("{live:?}")
        };
        assert_eq!(
            (ours.pid, ours.owner),
            (own.pid(), ServerOwner::ThisProgram)
        );
        assert!(ours.is_ours_to_stop() && !others.is_ours_to_stop());
        assert_eq!(others.endpoint.to_string(), other.address);
        for server in &live.servers {
            assert_eq!(server.version.as_deref(), own.server().unwrap().version());
            assert_eq!(server.home, rig.home.path());
        }
        // The result can be joined and serialized.
        builder(&rig)
            .connect_to(ours.endpoint.clone())
            .await
            .unwrap();
        let json = serde_json::to_value(&live).unwrap();
        assert_eq!(json["servers"][1]["address"], other.address);
        assert_eq!(json["servers"][0]["owner"], "thisProgram");
        own.shutdown().await;
        other.end().await;
    })
    .await;
}

#[tokio::test]
async fn threads_are_listed_with_their_status_and_their_pending_requests() {
    codex_test(60, async |rig| {
        let client = rig.builder().serve("unix://").await.unwrap();
        let live = look(&rig, |live| !live.servers.is_empty()).await;
        assert!(threads(&live).is_empty());

        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let live = look(&rig, |live| threads(live).len() == 1).await;
        let [seen] = threads(&live) else { panic!() };
        assert_eq!(
            (seen.id.as_str(), &seen.status),
            (thread.id(), &LiveStatus::Idle)
        );
        assert_eq!(
            seen.title(),
            thread.id(),
            "it has neither a name nor a message"
        );
        assert_eq!(seen.cwd, rig.home.work_dir());
        assert_eq!((&seen.role, seen.ephemeral), (&ThreadRole::Session, false));

        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("wait").hold(&gate));
        let turn = thread.ask("count to ten\nslowly").await.unwrap();
        let live = look(&rig, |live| {
            thread_is(live, |thread| {
                thread.status == LiveStatus::Active && !thread.preview.is_empty()
            })
        })
        .await;
        assert_eq!(threads(&live)[0].title(), "count to ten");
        assert!(!threads(&live)[0].waits_for_approval);
        gate.open();
        turn.finish().await.unwrap();
        look(&rig, |live| {
            thread_is(live, |thread| thread.status == LiveStatus::Idle)
        })
        .await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_discovery_leaves_pending_requests_to_the_clients_that_are_asked() {
    codex_test_with(asks_for_approval, 60, async |rig| {
        let decide = Arc::new(Notify::new());
        let client = rig
            .builder()
            .approvals(accepts_when_told(&decide))
            .serve("unix://")
            .await
            .unwrap();
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        rig.model.reply(escalated("c-1", "touch asked"));
        rig.model.reply(Reply::text("done"));
        let turn = thread.ask("do it").await.unwrap();
        let live = look(&rig, |live| {
            thread_is(live, |thread| thread.waits_for_approval)
        })
        .await;
        assert!(!threads(&live)[0].waits_for_input);
        // It still waits after ten more discoveries.
        for _ in 0..10 {
            let live = Live::discover().home(rig.home.path()).await;
            assert!(threads(&live)[0].waits_for_approval);
        }
        assert_eq!(client.pending_requests().len(), 1);
        decide.notify_one();
        turn.finish().await.unwrap();
        assert!(rig.home.work_dir().join("asked").exists());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn sockets_without_a_server_and_those_of_others_are_told_apart() {
    codex_test(60, async |rig| {
        let live = Live::discover().home(rig.home.path()).await;
        assert!(live.servers.is_empty());
        assert!(matches!(why(&live.unreachable[0]), Kind::NoServer));

        let control = rig.home.path().join("app-server-control");
        fs::create_dir(&control).unwrap();
        let path = control.join("app-server-control.sock");
        drop(UnixListener::bind(&path).unwrap());
        let live = Live::discover().home(rig.home.path()).await;
        assert!(matches!(why(&live.unreachable[0]), Kind::Stale));

        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let live = Live::discover().home(rig.home.path()).await;
            assert!(matches!(
                why(&live.unreachable[0]),
                Kind::OtherUser { uid: 12_345 }
            ));
        }
        fs::remove_file(&path).unwrap();

        // A server that hangs costs time, but not the results of the others.
        let listener = Listener::unix(&rig).await;
        let _hangs = UnixListener::bind(&path).unwrap();
        let discover = Live::discover()
            .home(rig.home.path())
            .timeout(Duration::from_secs(3));
        let live = discover.endpoint(Endpoint::unix(socket(&rig))).await;
        assert!(matches!(why(&live.unreachable[0]), Kind::Silent { .. }));
        assert_eq!(live.servers[0].pid, Some(listener.pid()));
        assert_eq!(
            live.servers[0].owner,
            ServerOwner::ThisProgram,
            "the test has started it"
        );
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_without_a_socket_is_found_with_its_process_and_is_gone_with_it() {
    codex_test(120, async |rig| {
        // `codex exec`, and a server on stdio.
        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("wait").hold(&gate));
        let mut exec = tokio::process::Command::new(rig.codex())
            .args(["exec", "--skip-git-repo-check", "what exec is asked"])
            .env_clear()
            .envs(rig.home.env())
            .current_dir(rig.home.work_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let live = look(&rig, |live| live.held.len() == 1).await;
        assert_eq!(
            (live.held[0].pid, live.held[0].holder),
            (exec.id().unwrap(), Holder::Exec)
        );
        assert_eq!(live.held[0].cwd.as_deref(), Some(&*rig.home.work_dir()));
        assert!(live.servers.is_empty());

        let stdio = rig.client().await;
        let thread = stdio
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let live = look(&rig, |live| live.held.len() == 2).await;
        let held = live
            .held
            .iter()
            .find(|held| held.id == thread.id())
            .unwrap();
        assert_eq!(
            (Some(held.pid), held.holder),
            (stdio.pid(), Holder::AppServer)
        );

        // A server of the same home reports their titles; its own threads are excluded.
        let server = rig.builder().serve("unix://").await.unwrap();
        let _own = server
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let live = look(&rig, |live| {
            threads(live).len() == 1
                && live
                    .held
                    .iter()
                    .any(|held| held.title.as_deref() == Some("what exec is asked"))
        })
        .await;
        assert_eq!(live.held.len(), 2, "{live:?}");

        exec.kill().await.unwrap();
        stdio.shutdown().await;
        let live = look(&rig, |live| live.held.is_empty()).await;
        assert_eq!(threads(&live).len(), 1);
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn helper_threads_of_the_tui_are_distinguished_from_its_sessions() {
    codex_test(120, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(180, async {
            let server = rig.builder().serve("unix://").await.unwrap();
            terminal.run(&rig, &[]);
            terminal.shows("Ask Codex").await;
            // Both the turn and the title make a model request.
            let gate = Gate::new();
            rig.model.reply(Reply::new().delta("wait").hold(&gate));
            rig.model.reply(Reply::new().delta("wait").hold(&gate));
            terminal.enter("what the user asks").await;
            let live = look(&rig, |live| {
                threads(live)
                    .iter()
                    .any(|thread| thread.role == ThreadRole::Helper)
            })
            .await;
            let sessions: Vec<_> = threads(&live)
                .iter()
                .filter(|thread| thread.is_session())
                .collect();
            assert_eq!(sessions.len(), 1, "{live:?}");
            assert_eq!(sessions[0].title(), "what the user asks");
            gate.open();
            server.shutdown().await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_stopped_in_the_middle_is_given_up_at_the_deadline() {
    codex_test(60, async |rig| {
        let listener = Listener::unix(&rig).await;
        listener.signal(Signal::STOP);
        let live = Live::discover()
            .home(rig.home.path())
            .endpoint(Endpoint::unix(socket(&rig)))
            .timeout(Duration::from_millis(500))
            .await;
        assert!(
            live.unreachable
                .iter()
                .any(|place| matches!(why(place), Kind::Silent { .. }))
        );
        listener.signal(Signal::CONT);
        listener.end().await;
    })
    .await;
}

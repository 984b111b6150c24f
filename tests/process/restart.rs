//! The supervisor: restarts a crashed server and resumes its threads.

use std::{fs, time::Duration};

use cas_sdk::{
    Error, Handlers, Supervisor,
    protocol::ThreadStartParams,
    supervisor::{Restart, ServerState},
    testing::{Gate, Reply},
    turn::TurnErrorKind,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    common::{Rig, codex_test, codex_test_with, eventually, is_alive, within},
    fake::Fake,
};

fn quick() -> Restart {
    let ms = Duration::from_millis;
    Restart::default().backoff(ms(20), ms(200))
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Kills the server of a supervisor, and waits until its client notices.
async fn crash(supervisor: &Supervisor) {
    let client = supervisor.client().await.unwrap();
    kill(client.pid().unwrap());
    client.closed().await;
}

/// A supervisor of the real codex, and a thread with one completed turn.
async fn thread(rig: &Rig) -> (Supervisor, String) {
    let supervisor = rig.builder().supervise(quick()).await.unwrap();
    let params = ThreadStartParams::default();
    let thread = supervisor.start_thread(params).await.unwrap();
    rig.model.reply(Reply::text("I remember 42."));
    let outcome = thread.ask("Remember 42.").await.unwrap().finish().await;
    outcome.unwrap();
    (supervisor, thread.id().to_owned())
}

#[tokio::test]
async fn a_thread_goes_on_in_the_next_process_after_a_crash_in_the_middle_of_a_turn() {
    codex_test(120, async |rig| {
        let (supervisor, id) = thread(&rig).await;
        let mut states = supervisor.states();
        let Some(ServerState::Running { epoch: 0, lost }) = states.next().await else {
            panic!("it runs")
        };
        assert!(lost.is_empty());
        let first = supervisor.client().await.unwrap();

        for round in 1..=2 {
            let thread = supervisor.thread(&id).await.unwrap();
            let gate = Gate::new();
            rig.model.reply(Reply::new().delta("half a ").hold(&gate));
            let mut turn = thread.ask("And now?").await.unwrap();
            while turn.partial_outcome().text != "half a " {
                turn.next().await.unwrap().unwrap();
            }
            kill(supervisor.client().await.unwrap().pid().unwrap());
            let Error::Turn(end) = turn.finish().await.unwrap_err() else {
                panic!("the turn is told")
            };
            assert!(matches!(end.kind, TurnErrorKind::Closed(_)), "{end:?}");
            assert_eq!(end.outcome.text, "half a ");
            drop(gate);

            // Called at once, so it waits for the next server.
            let thread = supervisor.thread(&id).await.unwrap();
            assert_eq!(thread.id(), id);
            rig.model.reply(Reply::text("It was 42."));
            let turn = thread.ask("What was it?").await.unwrap();
            assert_eq!(turn.finish().await.unwrap().text, "It was 42.");
            let requests = rig.model.requests();
            let history = requests.last().unwrap().body().to_string();
            assert!(history.contains("Remember 42."), "{history}");
            let ServerState::Running { epoch, lost } = supervisor.state() else {
                panic!("it runs again")
            };
            assert_eq!(epoch, round);
            assert!(lost.is_empty(), "{lost:?}");
        }
        assert!(
            first
                .call::<serde_json::Value>("x", &json!({}))
                .await
                .is_err()
        );

        let last = supervisor.client().await.unwrap().pid().unwrap();
        supervisor.shutdown().await;
        assert!(!is_alive(last));
        let mut seen = Vec::new();
        while let Some(state) = states.next().await {
            seen.push(state);
        }
        assert!(
            matches!(seen.last(), Some(ServerState::Stopped)),
            "{seen:?}"
        );
        let after = supervisor.client().await.unwrap_err();
        assert!(matches!(after, Error::Closed(_)), "{after:?}");
    })
    .await;
}

#[tokio::test]
async fn each_state_is_reported_with_its_reason() {
    codex_test(120, async |rig| {
        let (supervisor, id) = thread(&rig).await;
        // A thread without a turn is not stored.
        let empty = supervisor.start_thread(ThreadStartParams::default()).await;
        let empty = empty.unwrap().id().to_owned();
        let mut states = supervisor.states();
        states.next().await.unwrap();
        crash(&supervisor).await;
        let Some(ServerState::Reconnecting {
            attempt: 1,
            pause,
            error,
        }) = states.next().await
        else {
            panic!("the crash is told")
        };
        assert!(pause <= Duration::from_millis(20));
        let Error::Closed(reason) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.to_string().contains("signal: 9"), "{reason}");
        let Some(ServerState::Running { epoch: 1, lost }) = states.next().await else {
            panic!("the start is told")
        };
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert_eq!(lost[0].0, empty);
        assert_eq!(
            lost[0].1.rpc_kind(),
            Some(cas_sdk::RpcErrorKind::ThreadMissing)
        );
        let again = supervisor.thread(&empty).await.unwrap_err();
        assert_eq!(again.rpc_kind(), Some(cas_sdk::RpcErrorKind::ThreadMissing));
        assert!(supervisor.thread(&id).await.is_ok());
        supervisor.forget(&id);
        let gone = supervisor.thread(&id).await.unwrap_err();
        assert!(matches!(gone, Error::Invalid(_)), "{gone:?}");
        supervisor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_keeps_the_handlers_it_was_opened_with() {
    codex_test_with(
        |home| home.feature("default_mode_request_user_input", true),
        120,
        async |rig| {
            let supervisor = rig.builder().supervise(quick()).await.unwrap();
            let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let count = asked.clone();
            let handlers = Handlers::default().user_input(
                move |_: cas_sdk::protocol::ToolRequestUserInputParams, _cx| {
                    count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    async { Ok(cas_sdk::handlers::Answers::default()) }
                },
            );
            let client = supervisor.client().await.unwrap().with_handlers(handlers);
            let thread = client.start_thread(ThreadStartParams::default()).await;
            let thread = thread.unwrap();
            supervisor.keep(&thread);
            let question = json!({"questions": [{
                "id": "q", "header": "Q", "question": "Which?",
                "options": [{"label": "a", "description": "A"}, {"label": "b", "description": "B"}],
            }]});
            for round in 1..=2 {
                let thread = supervisor.thread(thread.id()).await.unwrap();
                let call = Reply::new().function_call(
                    &format!("c{round}"),
                    "request_user_input",
                    question.clone(),
                );
                rig.model.reply(call);
                rig.model.reply(Reply::text("so be it"));
                let turn = thread.ask("Ask me.").await.unwrap();
                turn.finish().await.unwrap();
                assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), round);
                crash(&supervisor).await;
            }
            supervisor.shutdown().await;
        },
    )
    .await;
}

/// Counts its starts in a file.
const COUNTS: &str = r#"echo >> "$FAKE_DIR/starts""#;

fn starts(fake: &Fake) -> usize {
    let text = fs::read_to_string(fake.file("starts")).unwrap_or_default();
    text.lines().count()
}

#[tokio::test]
async fn a_supervisor_gives_up_after_its_limit_with_the_reason() {
    within(60, async {
        // Only the first start succeeds.
        let fake = Fake::with(&format!(
            r#"{COUNTS}; [ $(wc -l < "$FAKE_DIR/starts") = 1 ] || {{ echo "no luck" >&2; exit 5; }}"#
        ));
        let policy = quick().attempts(3);
        let supervisor = fake.builder("").supervise(policy).await.unwrap();
        let mut states = supervisor.states();
        states.next().await.unwrap();
        crash(&supervisor).await;
        let error = supervisor.client().await.unwrap_err();
        assert!(matches!(error, Error::Spawn(_)), "{error:?}");
        assert_eq!(starts(&fake), 4);
        let ServerState::GaveUp { error } = supervisor.state() else {
            panic!("{:?}", supervisor.state())
        };
        assert!(format!("{error:?}").contains("no luck"), "{error:?}");
        let mut last = None;
        while let Some(state) = states.next().await {
            last = Some(state);
        }
        assert!(matches!(last, Some(ServerState::GaveUp { .. })), "{last:?}");
        supervisor.shutdown().await; // Returns at once.
        fake.nothing_is_left().await;
    })
    .await;
}

#[tokio::test]
async fn crashes_in_a_row_count_and_a_steady_server_ends_the_row() {
    within(60, async {
        for (steady, goes_on) in [(Duration::from_secs(60), false), (Duration::ZERO, true)] {
            let fake = Fake::new();
            let policy = quick().attempts(2).reset_after(steady);
            let supervisor = fake.builder("").supervise(policy).await.unwrap();
            for _ in 0..2 {
                crash(&supervisor).await;
            }
            crash(&supervisor).await;
            let fourth = supervisor.client().await;
            assert_eq!(fourth.is_ok(), goes_on, "{fourth:?}");
            supervisor.shutdown().await;
            drop(fourth);
            fake.nothing_is_left().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_first_start_that_fails_is_an_error_and_is_not_repeated() {
    within(60, async {
        let fake = Fake::with(COUNTS);
        let error = fake.builder("exit 3").supervise(quick()).await.unwrap_err();
        assert!(matches!(error, Error::Spawn(_)), "{error:?}");
        assert_eq!(starts(&fake), 1);
    })
    .await;
}

#[tokio::test]
async fn a_supervisor_ends_when_it_is_told_to_whatever_it_is_doing() {
    within(60, async {
        // NB. A pause outlasts the limit of the test, so a shutdown that waited for it would fail.
        let pause = Duration::from_secs(3_600);
        let slow = Restart::default().backoff(pause, pause);
        // During a pause.
        let fake = Fake::new();
        let supervisor = fake.builder("").supervise(slow).await.unwrap();
        let mut states = supervisor.states();
        states.next().await.unwrap();
        crash(&supervisor).await;
        states.next().await.unwrap();
        supervisor.shutdown().await;
        assert!(matches!(supervisor.state(), ServerState::Stopped));
        assert!(fake.left().is_empty());

        // During a start that hangs.
        let fake = Fake::with(&format!(
            r#"{COUNTS}; [ $(wc -l < "$FAKE_DIR/starts") = 1 ] || exec sleep 300"#
        ));
        let builder = fake.builder("").handshake_timeout(Duration::from_secs(2));
        let supervisor = builder.supervise(quick()).await.unwrap();
        crash(&supervisor).await;
        eventually("the second start", || starts(&fake) == 2).await;
        supervisor.shutdown().await;
        assert!(fake.left().is_empty(), "when it returns, nothing is left");

        // While the next server has not resumed its threads.
        let fake = Fake::new();
        let builder = fake.builder("forgetful").request_timeout(Duration::MAX);
        let supervisor = builder.supervise(quick()).await.unwrap();
        let params = ThreadStartParams::default();
        let thread = supervisor.start_thread(params).await.unwrap();
        crash(&supervisor).await;
        let asked = fake.file("asked-to-resume");
        eventually("the next server is asked", || asked.exists()).await;
        supervisor.shutdown().await;
        assert!(matches!(supervisor.state(), ServerState::Stopped));
        assert!(fake.left().is_empty(), "when it returns, nothing is left");
        drop(thread);

        // By a client.
        let fake = Fake::new();
        let supervisor = fake.builder("").supervise(slow).await.unwrap();
        supervisor.client().await.unwrap().shutdown().await;
        let end = supervisor.client().await.unwrap_err();
        assert!(matches!(end, Error::Closed(_)), "{end:?}");
        assert!(matches!(supervisor.state(), ServerState::Stopped));

        // By dropping the last supervisor, while its states are still read.
        let fake = Fake::new();
        let supervisor = fake.builder("").supervise(slow).await.unwrap();
        let twin = supervisor.clone();
        let mut states = supervisor.states();
        states.next().await.unwrap();
        drop(supervisor);
        assert!(twin.client().await.is_ok());
        drop(twin);
        assert!(matches!(states.next().await, Some(ServerState::Stopped)));
        assert!(states.next().await.is_none(), "the stream ends");
        fake.nothing_is_left().await;
    })
    .await;
}

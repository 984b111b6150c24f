//! The end of a connection fails everything that waits, once, after all earlier messages.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use cas_sdk::{
    CasClient, Error, Filter,
    error::{CloseCause, CloseReason},
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
    turn::{Deadline, TurnErrorKind},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    common::{codex_test, within},
    fake::{Fake, child},
};

fn check(reason: &CloseReason) {
    assert_eq!(reason.cause, CloseCause::Exited, "{reason}");
    assert_eq!(reason.status.and_then(|s| s.code()), Some(7), "{reason}");
    assert!(reason.stderr_tail.contains("out of luck"), "{reason}");
    let text = reason.to_string();
    assert!(text.contains('7') && text.contains("out of luck"), "{text}");
}

/// Makes the fake write these lines and exit with 7.
async fn die(client: &CasClient, lines: &[Value]) -> Error {
    let params = json!({"lines": lines, "stderr": "out of luck", "code": 7});
    let answer = client.call::<Value>("fake/die", &params).await;
    answer.unwrap_err()
}

#[tokio::test]
async fn every_request_turn_and_stream_fails_once_with_the_status_after_what_was_said() {
    within(60, async {
        let fake = Fake::new();
        let client = fake.client("").await;
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let turn = thread.ask("go").await.unwrap();
        let mut events = client.events(Filter::all().method("x/*"));
        let mut wire = client.wire();
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    let nothing = json!({});
                    client.call::<Value>("fake/never", &nothing).await
                })
            })
            .collect();
        let count = 2_000;
        let mut lines: Vec<Value> = (0..count)
            .map(|n| json!({"method": "x/y", "params": {"n": n}}))
            .collect();
        let item = json!({"type": "agentMessage", "id": "m", "text": "half a", "phase": null});
        lines.push(json!({"method": "item/completed", "params": {"threadId": "t", "turnId": "u", "item": item}}));

        let Error::Indeterminate { reason, .. } = die(&client, &lines).await else {
            panic!("the request that it died of fails, too")
        };
        check(reason.close_reason().unwrap());
        for request in waiting {
            let Error::Indeterminate { reason, .. } = request.await.unwrap().unwrap_err() else {
                panic!("a request fails with the reason")
            };
            check(reason.close_reason().unwrap());
        }
        for n in 0..count {
            let event = events.next().await.unwrap().unwrap();
            assert!(event.json().contains(&n.to_string()), "what was said first");
        }
        let Some(Err(Error::Closed(reason))) = events.next().await else {
            panic!("a stream fails with the reason")
        };
        check(&reason);
        assert!(events.next().await.is_none(), "once");
        let Error::Turn(end) = turn.finish().await.unwrap_err() else {
            panic!("a turn fails")
        };
        let TurnErrorKind::Closed(reason) = &end.kind else {
            panic!("with the reason")
        };
        check(reason);
        assert_eq!(end.outcome.text, "half a");
        let mut lines = 0;
        while wire.next().await.is_some() {
            lines += 1;
        }
        assert!(lines > count, "the wire has all, and ends");
        let after = client.call::<Value>("x/y", &json!({})).await;
        assert!(matches!(after, Err(Error::Closed(_))), "{after:?}");
        let mut late = client.events(Filter::all());
        assert!(matches!(late.next().await, Some(Err(Error::Closed(_)))));
    })
    .await;
}

#[tokio::test]
async fn the_end_is_noticed_though_what_the_server_started_holds_the_pipe() {
    within(60, async {
        for sort in ["plain", "setsid", "stranger"] {
            let fake = Fake::new();
            let client = fake.client("").await;
            child(&client, sort).await;
            // NB. Without the end, the request would fail with its deadline.
            let Error::Indeterminate { reason, .. } = die(&client, &[]).await else {
                panic!("it fails with the reason")
            };
            check(reason.close_reason().unwrap());
            for pid in fake.left() {
                // A stranger cannot be found after a crash.
                assert_eq!(sort, "stranger");
                let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_without_an_answer_ends_at_its_deadline_and_the_connection_goes_on() {
    within(60, async {
        let fake = Fake::new();
        let builder = fake.builder("").request_timeout(Duration::from_millis(200));
        let client = builder.spawn().await.unwrap();
        let answer = client.call::<Value>("fake/never", &json!({})).await;
        let Err(Error::Timeout { method, after }) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (method.as_str(), after),
            ("fake/never", Duration::from_millis(200))
        );
        let answer: Value = client.call("fake/echo", json!({"a": 1})).await.unwrap();
        assert_eq!(answer, json!({"a": 1}));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn every_end_of_the_server_is_reported_with_its_cause_and_leaves_nothing() {
    // The fake is not the leader here; the shell that is runs what follows.
    let after = |code: &str| {
        let fake = std::env::current_exe().unwrap();
        format!(
            "'{}' fake::app_server --exact --ignored --nocapture 3>&1 >/dev/null; {code}",
            fake.display()
        )
    };
    let signal = |signal: i32| Some(Err(signal));
    let table = [
        // Commands before and after, the cause of the end, the exit code or the signal.
        (String::new(), "Exited", Some(Ok(7))),
        (after("exit 0"), "Exited", Some(Ok(0))),
        (after("exit 1"), "Exited", Some(Ok(1))),
        (after("kill -9 $$"), "Exited", signal(9)),
        (after("kill -6 $$"), "Exited", signal(6)),
        // It closes its output and stays until a later rung of the ladder.
        (after("exec >&-; exec sleep 300"), "Eof", signal(15)),
        (after("trap '' TERM; exec >&-; sleep 300"), "Eof", signal(9)),
        // It neither reads nor writes.
        (after("exec <&-; exec sleep 300"), "Write", signal(15)),
        // A process that holds its pipes stays.
        (after("setsid sleep 300 & exit 3"), "Exited", Some(Ok(3))),
    ];
    for (prelude, sort, status) in table {
        within(30, async {
            let fake = Fake::with(&prelude);
            let builder = fake.builder("").request_timeout(Duration::from_secs(10));
            let client = builder.spawn().await.unwrap();
            let mut events = client.events(Filter::all().method("never"));
            let waiting = {
                let client = client.clone();
                tokio::spawn(async move { client.call::<Value>("fake/never", &json!({})).await })
            };
            let dying = {
                let client = client.clone();
                tokio::spawn(async move { die(&client, &[]).await })
            };
            if sort == "Write" {
                until_closed(&client).await;
            }
            let told = [
                dying.await.unwrap(),
                waiting.await.unwrap().unwrap_err(),
                events.next().await.unwrap().unwrap_err(),
            ];
            for error in told {
                let Some(reason) = error.close_reason() else {
                    panic!("{prelude}: {error:?}")
                };
                let cause = format!("{:?}", reason.cause);
                assert!(cause.starts_with(sort), "{prelude}: {reason:?}");
                let ended = reason
                    .status
                    .map(|s| s.code().ok_or(s.signal().unwrap_or(0)));
                assert_eq!(ended, status, "{prelude}: {reason:?}");
            }
            assert!(events.next().await.is_none());
            assert!(fake.left().is_empty(), "{prelude}: {:?}", fake.left());
        })
        .await;
    }
}

/// Makes requests until one reports the end. One written before the pipe closes is never answered.
async fn until_closed(client: &CasClient) {
    loop {
        let nothing = json!({});
        let probe = client.call::<Value>("x", &nothing);
        let probe = tokio::time::timeout(Duration::from_millis(100), probe).await;
        if matches!(probe, Ok(Err(Error::Closed(_)))) {
            return;
        }
    }
}

#[tokio::test]
async fn a_deadline_on_a_codex_that_was_stopped_does_not_wait_for_its_requests_to_time_out() {
    codex_test(90, async |rig| {
        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("half").hold(&gate));
        let builder = rig.builder().request_timeout(Duration::from_secs(600));
        let client = builder.spawn().await.unwrap();
        let params = ThreadStartParams::default();
        let thread = client.start_thread(params).await.unwrap();
        let mut turn = thread.ask("go").await.unwrap();
        while turn.partial_outcome().text != "half" {
            turn.next().await.unwrap().unwrap();
        }
        let pid = i32::try_from(client.pid().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
        let deadline = Deadline::after(Duration::from_millis(500));
        turn.set_deadline(deadline);
        let Err(Error::Turn(error)) = turn.finish().await else {
            panic!("it can't end")
        };
        assert!(
            matches!(error.kind, TurnErrorKind::DeadlinePassed { .. }),
            "{error:?}"
        );
        assert_eq!(error.outcome.text, "half");
        client.shutdown().await;
    })
    .await;
}

//! The window of requests in flight counts what the server holds, and late responses are reported.

use std::{future::IntoFuture as _, time::Duration};

use cas_sdk::{
    CasClient, Error, Filter,
    events::MessageKind,
    protocol::{
        CommandExecParams, ThreadListParams, ThreadLoadedListParams, ThreadLoadedListResponse,
        ThreadStartParams,
    },
    testing::FakeServer,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{ask, common::within, next};

/// Yields until all other tasks are idle.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn live(client: &CasClient) -> cas_sdk::Request<ThreadLoadedListResponse> {
    client.request(ThreadLoadedListParams::default())
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_given_up_keeps_its_place_until_the_server_has_answered_it() {
    within(60, async {
        let (client, server) = FakeServer::connect(CasClient::builder().in_flight(2))
            .await
            .unwrap();
        for _ in 0..100 {
            let _ = timeout(Duration::from_millis(1), ask(&client, "slow")).await;
        }
        assert_eq!(server.calls("slow"), 2, "the server holds two");
        let waits = tokio::spawn({
            let client = client.clone();
            async move { ask(&client, "live").await }
        });
        settle().await;
        assert_eq!(server.calls("live"), 0);
        server.next("slow").await.reply(json!(null));
        server.next("live").await.reply(json!("there"));
        assert_eq!(waits.await.unwrap().unwrap(), "there");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_request_that_is_never_answered_comes_back_if_later_ones_are() {
    within(600, async {
        let (client, server) = FakeServer::connect(CasClient::builder().in_flight(4))
            .await
            .unwrap();
        server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
        for _ in 0..3 {
            let _ = timeout(Duration::from_millis(1), ask(&client, "never")).await;
        }
        live(&client).await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        live(&client).await.unwrap();
        // All four places are free again.
        let _three = join_all((0..4).map(|_| {
            let client = client.clone();
            async move { timeout(Duration::from_millis(1), ask(&client, "more")).await }
        }))
        .await;
        assert_eq!(server.calls("more"), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nothing_is_tried_with_one_request_at_a_time() {
    within(3_600, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        // A server that is stopped for ten minutes, and callers that give up and try again.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(600) {
            join_all((0..100).map(|_| {
                let call = client.request(ThreadListParams::default());
                timeout(Duration::from_secs(1), call.into_future())
            }))
            .await;
        }
        let held = server.calls("thread/list");
        // 64 at first, then one more after 5 s, 10 s, 20 s and so on.
        assert!((66..=75).contains(&held), "{held}");
        // It continues, and answers all further requests.
        server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
        let wake_up = async {
            for _ in 0..held {
                server.next("thread/list").await.reply(json!({"data": []}));
            }
        };
        let asked = join_all((0..100).map(|_| live(&client).into_future()));
        let (answers, ()) = tokio::join!(asked, wake_up);
        assert!(answers.iter().all(Result::is_ok));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_tells_what_was_not_sent_from_what_was_not_answered() {
    within(600, async {
        let (client, server) = FakeServer::connect(CasClient::builder().in_flight(1))
            .await
            .unwrap();
        let after = Duration::from_secs(3);
        let (first, second) = tokio::join!(
            async { live(&client).timeout(after).await.unwrap_err() },
            async { live(&client).timeout(after).await.unwrap_err() },
        );
        assert_eq!(server.calls("thread/loaded/list"), 1);
        assert!(
            matches!(&first, Error::Timeout { after: told, .. } if *told == after),
            "{first:?}"
        );
        assert!(!first.is_retryable());
        assert_eq!(
            first.to_string(),
            "thread/loaded/list was not answered within 3s"
        );
        assert!(
            matches!(&second, Error::NotSent { after: told, .. } if *told == after),
            "{second:?}"
        );
        assert!(second.is_retryable(), "the server has not heard of it");
        assert!(
            second
                .to_string()
                .starts_with("thread/loaded/list was not sent within 3s: "),
            "{second}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn long_requests_keep_nothing_else_waiting() {
    within(600, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        server.opens("thr");
        server.starts("turn");
        server.answer("turn/interrupt", |_| Ok(json!({})));
        let exec = || {
            let params = json!({"command": ["sleep", "1000"]});
            let params: CommandExecParams = serde_json::from_value(params).unwrap();
            client.request(params)
        };
        let mut long = Vec::new();
        for n in 0..200 {
            let exec = match n % 2 {
                0 => exec().no_timeout(),
                _ => exec().timeout(Duration::from_secs(3_600)),
            };
            long.push(tokio::spawn(exec.into_future()));
        }
        settle().await;
        assert_eq!(server.calls("command/exec"), 64, "they have a bound, too");
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let turn = thread.ask("go").await.unwrap();
        assert_eq!(turn.id(), "turn");
        // Their places pass on when they end.
        for _ in 0..200 {
            server
                .next("command/exec")
                .await
                .reply(json!({"exitCode": 0, "stdout": "", "stderr": ""}));
        }
        for long in long {
            long.await.unwrap().unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn turns_that_are_dropped_all_at_once_are_interrupted_a_window_at_a_time() {
    within(600, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        let mut turns = Vec::new();
        for n in 0..200 {
            let (thread, turn) = (format!("thr-{n}"), format!("turn-{n}"));
            server.opens(&thread);
            server.starts(&turn);
            let opened = client.start_thread(ThreadStartParams::default()).await;
            turns.push(opened.unwrap().ask("go").await.unwrap());
            server.turn_started(&thread, &turn);
        }
        settle().await;
        drop(turns);
        settle().await;
        assert_eq!(server.calls("turn/interrupt"), 64 + 16);
        let mut interrupted = Vec::new();
        for _ in 0..200 {
            let request = server.next("turn/interrupt").await;
            interrupted.push(request.params()["turnId"].as_str().unwrap().to_owned());
            request.reply(json!({}));
        }
        interrupted.sort();
        interrupted.dedup();
        assert_eq!(interrupted.len(), 200, "each of them, once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_is_an_event_and_its_thread_can_be_taken_up() {
    within(600, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        let mut late = client.events(Filter::all().kind(MessageKind::LateResponse));
        let mut of_others = client.events(Filter::all().method("thread/fork"));
        let after = Duration::from_secs(1);
        let error = client.resume_thread("thr").timeout(after).await.unwrap_err();
        assert!(
            matches!(&error, Error::Timeout { method, after: told } if method == "thread/resume" && *told == after),
            "{error:?}"
        );
        let result = json!({"thread": FakeServer::thread("thr", "idle")});
        server.next("thread/resume").await.reply(result);
        let event = next(&mut late).await;
        assert_eq!(
            (event.method(), event.thread_id(), event.kind()),
            ("thread/resume", Some("thr"), MessageKind::LateResponse)
        );
        let text: Value = serde_json::from_str(event.line()).unwrap();
        assert_eq!(text["result"]["thread"]["id"], "thr", "to the letter");
        let thread = client.thread(event.thread_id().unwrap());
        assert!(thread.is_followed());
        server.starts("turn");
        let turn = thread.ask("go").await.unwrap();
        // The late response is not an event of a turn.
        server.turn_started("thr", "turn");
        server.turn_completed("thr", "turn", "completed");
        turn.finish().await.unwrap();
        // A late response to a dropped request is reported too, and so is a refusal.
        drop(timeout(after, ask(&client, "thread/fork")).await);
        server.next("thread/fork").await.refuse(-32600, "no");
        assert_eq!(next(&mut late).await.method(), "thread/fork");
        assert_eq!(next(&mut of_others).await.method(), "thread/fork");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_resume_and_the_pages_of_a_list_have_deadlines_of_their_own() {
    within(600, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        // A complete resume, whatever its result.
        server.answer("thread/resume", |_| {
            let text = "session thr is archived. Run `codex unarchive thr` to unarchive it first.";
            Err(cas_sdk::error::RpcError::new(-32600, text, None))
        });
        let (begun, after) = (Instant::now(), Duration::from_secs(2));
        let resume = client.resume_thread("thr").or_unarchive().timeout(after);
        let error = resume.await.unwrap_err();
        assert!(
            matches!(&error, Error::Timeout { method, after: told } if method == "thread/unarchive" && *told == after),
            "{error:?}"
        );
        assert_eq!(begun.elapsed(), after);

        let begun = Instant::now();
        let mut pages = client.pages(ThreadListParams::default()).timeout(after);
        let error = pages.next().await.unwrap().unwrap_err();
        assert!(
            matches!(&error, Error::Timeout { after: told, .. } if *told == after),
            "{error:?}"
        );
        let mut mined = client.history(cas_sdk::history::HistoryQuery::default().timeout(after));
        let error = mined.next().await.unwrap().unwrap_err();
        assert!(
            matches!(&error, Error::Timeout { after: told, .. } if *told == after),
            "{error:?}"
        );
        assert_eq!(begun.elapsed(), after * 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn urgent_requests_have_a_deadline_of_their_own() {
    within(
        600,
        Box::pin(async {
            for (builder, secs) in [
                (CasClient::builder(), 5),
                (
                    CasClient::builder().request_timeout(Duration::from_secs(3)),
                    3,
                ),
                (
                    CasClient::builder().urgent_timeout(Duration::from_secs(20)),
                    20,
                ),
            ] {
                let (client, server) = FakeServer::connect(builder).await.unwrap();
                server.opens("thr");
                server.starts("turn");
                let thread = client.start_thread(ThreadStartParams::default()).await;
                let mut turn = thread.unwrap().ask("go").await.unwrap();
                server.turn_started("thr", "turn");
                turn.next().await.unwrap().unwrap();
                // From here on the server does not react.
                let after = Duration::from_secs(secs);
                let begun = Instant::now();
                let interrupted = turn.interrupt().await.unwrap_err();
                assert_eq!(begun.elapsed(), after);
                assert_eq!(
                    interrupted.to_string(),
                    format!("turn/interrupt was not answered within {secs}s")
                );
                let steered = turn.steer("x").await.unwrap_err();
                assert!(
                    matches!(&steered, Error::Timeout { after: told, .. } if *told == after),
                    "{steered:?}"
                );
                let urgent = live(&client).urgent().await.unwrap_err();
                assert!(
                    matches!(&urgent, Error::Timeout { after: told, .. } if *told == after),
                    "{urgent:?}"
                );
                assert_eq!(begun.elapsed(), after * 3);
                let _ = turn.detach();
            }
        }),
    )
    .await;
}

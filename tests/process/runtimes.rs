//! Clients whose runtime ends, or is not driven, while they are used elsewhere.

use std::{
    future::{Future, IntoFuture as _},
    time::Duration,
};

use cas_sdk::{
    CasClient, Error, Filter,
    error::CloseCause,
    protocol::{ThreadLoadedListParams, ThreadStartParams},
    testing::{FakeServer, Gate, Reply},
};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::{
    common::{Rig, is_alive, watchdog, within},
    fake::Fake,
};

fn runtimes() -> [Runtime; 2] {
    let single = Builder::new_current_thread().enable_all().build();
    [Runtime::new().unwrap(), single.unwrap()]
}

fn is_end(error: &Error) -> bool {
    let reason = error.close_reason();
    reason.is_some_and(|reason| reason.cause == CloseCause::RuntimeEnded)
}

fn ended<T>(result: Result<T, Error>) {
    let error = result.err().expect("the runtime has ended");
    assert!(is_end(&error), "{error:?}");
}

/// Spawns a future on another runtime, and waits until it is pending.
fn begin<F>(on: &Runtime, future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut future = Box::pin(future);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let task = on.spawn(std::future::poll_fn(move |cx| {
        let polled = future.as_mut().poll(cx);
        let _ = begun.send(());
        polled
    }));
    has_begun.recv().unwrap();
    task
}

#[test]
fn calls_from_another_runtime_end_with_the_runtime_of_their_client() {
    let _watched = watchdog(100, "clients whose runtime ends");
    let main = Runtime::new().unwrap();
    for theirs in runtimes() {
        let (client, server) = theirs
            .block_on(FakeServer::connect(CasClient::builder()))
            .unwrap();
        server.opens("t");
        server.starts("u");
        let start = client.start_thread(ThreadStartParams::default());
        let thread = theirs.block_on(start).unwrap();
        let mut turn = theirs.block_on(thread.ask("x").into_future()).unwrap();
        server.turn_started("t", "u");
        // Polled there, so that its timer belongs to that runtime.
        theirs.block_on(turn.next()).unwrap().unwrap();
        let half = theirs
            .block_on(async { tokio::time::timeout(Duration::from_millis(20), turn.next()).await });
        assert!(half.is_err(), "nothing comes");
        let mut events = client.events(Filter::all().method("x"));
        let control = turn.control();
        let call = || client.request(ThreadLoadedListParams::default());

        let waiting = (
            begin(&main, call().into_future()),
            begin(&main, call().no_timeout().into_future()),
            begin(&main, async move { events.next().await }),
            begin(&main, async move { turn.finish().await }),
            begin(&main, {
                let client = client.clone();
                async move { client.closed().await.cause.clone() }
            }),
        );
        drop(theirs);
        main.block_on(within(60, async {
            ended(waiting.0.await.unwrap());
            ended(waiting.1.await.unwrap());
            ended(waiting.2.await.unwrap().expect("an error, once"));
            ended(waiting.3.await.unwrap());
            assert_eq!(waiting.4.await.unwrap(), CloseCause::RuntimeEnded);
            // Calls made afterwards fail too.
            ended(call().await);
            ended(call().no_timeout().await);
            ended(thread.ask("y").await);
            ended(thread.send("y").await);
            ended(control.interrupt().await);
            let told = client.events(Filter::all()).next().await;
            ended(told.expect("an error"));
            assert!(client.wire().next().await.is_none());
            assert_eq!(client.shutdown().await.cause, CloseCause::RuntimeEnded);
            server.call(1, "never/answered", json!({}));
        }));
        assert!(server.is_closed(), "the pipes are let go");
    }
}

#[test]
fn the_server_of_a_runtime_is_gone_when_the_end_of_the_runtime_is_reported() {
    let _watched = watchdog(100, "servers whose runtime ends");
    let main = Runtime::new().unwrap();
    for theirs in runtimes() {
        let fake = Fake::new();
        let client = theirs.block_on(fake.client("stubborn"));
        let closed = begin(&main, {
            let client = client.clone();
            async move { client.closed().await }
        });
        drop(theirs);
        let reason = main.block_on(within(60, closed)).unwrap();
        assert_eq!(reason.cause, CloseCause::RuntimeEnded);
        main.block_on(fake.nothing_is_left());
    }
}

#[test]
fn a_turn_of_the_real_codex_ends_with_the_runtime_of_its_client() {
    let _watched = watchdog(100, "a turn whose runtime ends");
    let (main, theirs) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let Some(rig) = main.block_on(Rig::new()) else {
        return;
    };
    rig.model
        .otherwise(Reply::new().delta("half").hold(&Gate::new()));
    let (client, thread) = theirs.block_on(rig.thread());
    let turn = theirs.block_on(thread.ask("x").into_future()).unwrap();
    let finish = begin(&main, turn.finish());
    drop(theirs);
    let pid = client.pid().unwrap();
    main.block_on(within(60, async {
        ended(finish.await.unwrap());
        ended(client.request(ThreadLoadedListParams::default()).await);
        crate::common::eventually("the server is gone", || !is_alive(pid)).await;
    }));
}

#[test]
fn a_client_that_is_dropped_on_a_runtime_nobody_drives_ends_its_server() {
    let _watched = watchdog(100, "a runtime that is not driven");
    let main = Runtime::new().unwrap();
    for within_another in [false, true] {
        let theirs = Builder::new_current_thread().enable_all().build().unwrap();
        let fake = Fake::new();
        let client = theirs.block_on(fake.client(""));
        let other = within_another.then(|| main.enter());
        drop(client);
        drop(other);
        main.block_on(fake.nothing_is_left());
        drop(theirs);
    }
}

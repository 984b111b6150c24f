//! Starts that fail: each with what is wrong, and nothing left.

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use cas_sdk::{CloseCause, Error, RpcErrorKind, SpawnError};

use crate::{common::within, fake::Fake};

#[tokio::test]
async fn whatever_goes_wrong_at_the_start_is_told_and_leaves_nothing() {
    type Check = fn(&Error) -> bool;
    let exited = |e: &Error, code| match e {
        Error::Spawn(SpawnError::Exited { reason, .. }) => {
            reason.status.and_then(|s| s.code()) == code
        }
        _ => false,
    };
    let handshake = |e: &Error| match e {
        Error::Handshake(inner) => Some(Error::clone(inner)),
        _ => None,
    };
    let _ = (&exited, &handshake);
    let table: &[(&str, &str, Check)] = &[
        // What it does before it is the fake, the fake's mode, the error.
        ("", "exit 3", |e| match e {
            Error::Spawn(SpawnError::Exited { reason, .. }) => {
                reason.status.and_then(|s| s.code()) == Some(3)
                    && reason.stderr_tail.contains("famous last words")
            }
            _ => false,
        }),
        (
            "",
            "exit 0",
            |e| matches!(e, Error::Spawn(SpawnError::Exited { reason, .. }) if reason.cause == CloseCause::Exited),
        ),
        (
            "kill -9 $$",
            "",
            |e| matches!(e, Error::Spawn(SpawnError::Exited { reason, .. }) if reason.to_string().contains("signal: 9")),
        ),
        ("", "silent", is_timeout),
        ("kill -STOP $$", "", is_timeout),
        ("trap '' TERM; while :; do sleep 300; done", "", is_timeout),
        ("", "refuse", |e| {
            e.rpc_kind() == Some(RpcErrorKind::Other) && matches!(e, Error::Handshake(_))
        }),
        ("", "garbage", |e| match e {
            Error::Handshake(inner) => {
                matches!(&**inner, Error::Decode { method, .. } if method == "initialize")
            }
            _ => false,
        }),
        // It closes its output, or its input, and stays.
        (
            "exec >&-; exec sleep 300",
            "",
            |e| matches!(e, Error::Spawn(SpawnError::Exited { reason, .. }) if reason.cause == CloseCause::Eof),
        ),
        ("exec <&-; exec sleep 300", "", |e| {
            matches!(e, Error::Spawn(SpawnError::Exited { reason, .. }) if matches!(reason.cause, CloseCause::Write(_)))
                || is_timeout(e) // It was written before it was closed.
        }),
        // It is gone, but has left somebody with its pipes.
        (
            "setsid sleep 300 & exit 4",
            "",
            |e| matches!(e, Error::Spawn(SpawnError::Exited { reason, .. }) if reason.status.and_then(|s| s.code()) == Some(4)),
        ),
        // It speaks no JSON at all.
        ("while :; do echo hello; sleep 0.01; done", "", is_timeout),
        ("exec head -c 100000 /dev/urandom", "", |e| {
            matches!(e, Error::Spawn(SpawnError::Exited { .. }))
        }),
    ];
    for (prelude, mode, check) in table {
        within(30, async {
            let fake = Fake::with(prelude);
            let begun = Instant::now();
            let builder = fake.builder(mode).handshake_timeout(Duration::from_secs(1));
            let error = builder.spawn().await.unwrap_err();
            assert!(check(&error), "{prelude} {mode}: {error:?}");
            assert!(error.source().is_some(), "{error:?}");
            // The handshake's deadline, three rungs, what is in the pipes, and a busy machine.
            assert!(begun.elapsed() < Duration::from_secs(6), "{prelude} {mode}");
            assert!(
                fake.left().is_empty(),
                "{prelude} {mode}: {:?}",
                fake.left()
            );
        })
        .await;
    }
}

fn is_timeout(error: &Error) -> bool {
    match error {
        Error::Handshake(inner) => {
            matches!(&**inner, Error::Timeout { method, .. } if method == "initialize")
        }
        _ => false,
    }
}

//! Failed starts: each has its reason and leaves nothing running.

use std::{error::Error as _, fs, time::Duration};

use cas_sdk::{
    Error, ErrorClass, Retry, RpcErrorKind,
    error::{CloseCause, SpawnError},
    supervisor::Restart,
};

use crate::{common::within, fake::Fake};

#[tokio::test]
async fn every_failed_start_is_reported_and_leaves_nothing() {
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
        // Shell code before the fake, the mode of the fake, the error.
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
        // It exits, but a child holds its pipes.
        (
            "setsid sleep 300 & exit 4",
            "",
            |e| matches!(e, Error::Spawn(SpawnError::Exited { reason, .. }) if reason.status.and_then(|s| s.code()) == Some(4)),
        ),
        // It writes no JSON.
        ("while :; do echo hello; sleep 0.01; done", "", is_timeout),
        ("exec head -c 100000 /dev/urandom", "", |e| {
            matches!(e, Error::Spawn(SpawnError::Exited { .. }))
        }),
    ];
    for (prelude, mode, check) in table {
        within(30, async {
            let fake = Fake::with(prelude);
            let builder = fake.builder(mode).handshake_timeout(Duration::from_secs(1));
            let error = builder.spawn().await.unwrap_err();
            assert!(check(&error), "{prelude} {mode}: {error:?}");
            // The text has the whole reason, once.
            assert!(error.source().is_none(), "{error:?}");
            assert!(error.to_string().contains(": "), "{error}");

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

/// The stderr of codex while another start holds its databases, in its first attempts.
fn lost(times: usize) -> String {
    format!(
        "n=$(cat \"$FAKE_DIR/starts\" 2>/dev/null || echo 0)\necho $((n + 1)) > \"$FAKE_DIR/starts\"\n\
         if [ \"$n\" -lt {times} ]; then\n\
         printf '\\033[31mError\\033[0m: failed to initialize sqlite state runtime under /h: (code: 5) database is locked\\n' >&2\nexit 1\nfi"
    )
}

fn starts(fake: &Fake) -> u32 {
    let text = fs::read_to_string(fake.file("starts")).unwrap();
    text.trim().parse().unwrap()
}

fn quick(times: u32) -> Retry {
    let ms = Duration::from_millis;
    Retry::times(times).backoff(ms(10), ms(50))
}

#[tokio::test]
async fn a_start_that_lost_its_home_to_another_is_retryable_and_made_again_only_if_asked() {
    within(60, async {
        let fake = Fake::with(&lost(2));
        let error = fake.builder("").spawn().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unavailable, "{error:?}");
        assert!(error.is_retryable());
        assert_eq!(starts(&fake), 1, "not unasked");

        let fake = Fake::with(&lost(2));
        let client = fake
            .builder("")
            .retry_start(quick(3))
            .spawn()
            .await
            .unwrap();
        assert_eq!(starts(&fake), 3);
        client.shutdown().await;
        fake.nothing_is_left().await;

        let fake = Fake::with(&lost(100));
        let error = fake.builder("").retry_start(quick(3)).spawn().await;
        assert!(error.unwrap_err().is_retryable());
        assert_eq!(starts(&fake), 4, "the first and three more");
    })
    .await;
}

#[tokio::test]
async fn a_start_that_is_too_slow_is_made_again_if_asked_and_leaves_nothing() {
    within(60, async {
        let slow = "n=$(cat \"$FAKE_DIR/starts\" 2>/dev/null || echo 0)\necho $((n + 1)) > \"$FAKE_DIR/starts\"\n\
                    if [ \"$n\" -lt 1 ]; then FAKE_MODE=silent; export FAKE_MODE; fi";
        let fake = Fake::with(slow);
        let builder = fake.builder("").handshake_timeout(Duration::from_secs(3));
        let client = builder.retry_start(quick(5)).spawn().await.unwrap();
        assert!(starts(&fake) >= 2);
        client.shutdown().await;
        fake.nothing_is_left().await;
    })
    .await;
}

#[tokio::test]
async fn a_start_that_fails_for_good_is_not_made_again() {
    within(60, async {
        let count = "echo x >> \"$FAKE_DIR/starts\"";
        for (prelude, mode) in [(count.to_owned(), "exit 3"), (format!("{count}\necho 'unable to open database file: failed to initialize sqlite state runtime' >&2; exit 1"), "")] {
            let fake = Fake::with(&prelude);
            let error = fake.builder(mode).retry_start(quick(3)).spawn().await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Spawn, "{error:?}");
            assert!(!error.is_retryable());
            assert_eq!(fs::read_to_string(fake.file("starts")).unwrap(), "x\n");
        }
    })
    .await;
}

#[tokio::test]
async fn a_supervisor_makes_a_lost_first_start_again() {
    within(60, async {
        let fake = Fake::with(&lost(2));
        let ms = Duration::from_millis;
        let policy = Restart::default().backoff(ms(10), ms(50));
        let supervisor = fake.builder("").supervise(policy).await.unwrap();
        assert_eq!(starts(&fake), 3);
        supervisor.shutdown().await;

        let fake = Fake::with(&lost(100));
        let error = fake
            .builder("")
            .supervise(policy.attempts(2))
            .await
            .unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(starts(&fake), 3, "the first and two more");
    })
    .await;
}

#[tokio::test]
async fn the_stderr_of_the_process_is_reported_without_colours_and_is_bounded_in_debug() {
    within(60, async {
        let loud = "printf '\\033[1;31mERROR\\033[0m bad config\\n' >&2\nhead -c 60000 /dev/zero | tr '\\0' x >&2\nprintf '\\n\\033[2mlast\\033[0m words\\n' >&2\nexit 3";
        let fake = Fake::with(loud);
        let error = fake.builder("").spawn().await.unwrap_err();
        let Error::Spawn(SpawnError::Exited { reason, .. }) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.stderr_tail.starts_with("ERROR bad config\n"));
        assert!(reason.stderr_tail.ends_with("\nlast words\n"));
        assert!(reason.stderr_tail.len() > 60_000);
        for text in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
            assert!(text.len() < 5_000, "{} bytes", text.len());
            assert!(text.contains("last words") && !text.contains('\u{1b}'), "{text}");
        }
    })
    .await;
}

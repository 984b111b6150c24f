//! Starts that are cancelled, at each point where they wait.

use std::time::Duration;

use cas_sdk::{CasClient, Error};

use crate::{
    common::{scenes::polled, within},
    fake::Fake,
};

#[tokio::test]
async fn a_start_that_is_given_up_at_any_point_leaves_nothing() {
    within(120, async {
        for mode in ["", "silent", "stubborn"] {
            for times in 1..50 {
                let fake = Fake::new();
                let registry = fake.file("registry");
                let builder = fake
                    .builder(mode)
                    .registry(&registry)
                    .handshake_timeout(Duration::from_millis(300));
                let start = polled(Box::pin(builder.spawn()), times).await;
                let started = start.is_some();
                drop(start); // Also drops a client that it returned.
                fake.nothing_is_left().await;
                crate::common::eventually("nothing is on record", || {
                    std::fs::read_dir(&registry).unwrap().count() == 0
                })
                .await;
                if started {
                    assert!(times > 1, "it has to wait for the answer");
                    break;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_start_that_is_given_up_after_any_time_leaves_nothing() {
    within(120, async {
        for ms in [0, 1, 2, 4, 8, 16, 32, 64] {
            let fake = Fake::new();
            let start = fake.builder("").spawn();
            let started: Option<Result<CasClient, Error>> =
                tokio::time::timeout(Duration::from_millis(ms), start)
                    .await
                    .ok();
            drop(started);
            fake.nothing_is_left().await;
        }
    })
    .await;
}

//! Every way to come to the end of an app-server, and that nothing of it is left.

use std::{
    env,
    process::{Command, Stdio},
    time::Duration,
};

use cas_sdk::{Builder, CasClient, error::CloseCause};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    roll::{ADDRESS, Roll},
    server::park,
};

/// How long a rung of the stop ladder is in these tests.
const GRACE: Duration = Duration::from_millis(400);

const SORTS: [&str; 3] = ["plain", "detached", "orphan"];

pub fn builder(address: &str, mode: &str) -> Builder {
    CasClient::builder()
        .codex(env::current_exe().unwrap())
        .env(ADDRESS, address)
        .env("FAKE_MODE", mode)
        .handshake_timeout(Duration::from_secs(60))
        .stop_grace(GRACE)
}

/// No test runs for ever.
pub fn within<T>(work: impl Future<Output = T>) -> T {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        timeout(Duration::from_secs(120), work)
            .await
            .expect("in time")
    })
}

async fn children(client: &CasClient) {
    for sort in SORTS {
        let params = json!({"sort": sort});
        let _: Value = client.call("fake/child", &params).await.unwrap();
    }
}

pub fn each_rung_of_the_ladder_ends_what_the_one_before_did_not() {
    within(async {
        for mode in ["", "deaf"] {
            let roll = Roll::new();
            let client = builder(&roll.address, mode).spawn().await.unwrap();
            let reason = client.shutdown().await;
            assert_eq!(reason.cause, CloseCause::Shutdown);
            let status = reason.status.unwrap();
            if mode.is_empty() {
                assert_eq!(status.code(), Some(0), "the end of its input");
            } else {
                #[cfg(unix)]
                assert_eq!(
                    std::os::unix::process::ExitStatusExt::signal(&status),
                    Some(15)
                );
                #[cfg(windows)]
                assert_eq!(status.code(), Some(1), "the end of the job");
            }
            roll.all_gone();
        }
    });
}

pub fn a_tree_of_processes_is_ended_by_a_shutdown() {
    within(async {
        for mode in ["", "deaf"] {
            let roll = Roll::new();
            let client = builder(&roll.address, mode).spawn().await.unwrap();
            children(&client).await;
            roll.wait_for(&SORTS);
            client.shutdown().await;
            roll.all_gone();
        }
    });
}

pub fn the_tree_of_a_server_that_died_is_ended() {
    within(async {
        let roll = Roll::new();
        let client = builder(&roll.address, "").spawn().await.unwrap();
        children(&client).await;
        roll.wait_for(&SORTS);
        let params = json!({"code": 7});
        let error = client.call::<Value>("fake/die", &params).await.unwrap_err();
        assert!(
            matches!(error, cas_sdk::Error::Indeterminate { .. }),
            "{error:?}"
        );
        let reason = error.close_reason().unwrap();
        assert_eq!(reason.cause, CloseCause::Exited);
        assert_eq!(reason.status.unwrap().code(), Some(7));
        roll.all_gone();
    });
}

pub fn a_dropped_client_leaves_nothing() {
    within(async {
        for mode in ["", "deaf"] {
            let roll = Roll::new();
            let client = builder(&roll.address, mode).spawn().await.unwrap();
            children(&client).await;
            roll.wait_for(&SORTS);
            drop(client);
            let all_gone = tokio::task::spawn_blocking(move || roll.all_gone());
            all_gone.await.unwrap();
        }
    });
}

pub fn a_dropped_runtime_leaves_nothing() {
    let roll = Roll::new();
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(async {
        let client = builder(&roll.address, "deaf").spawn().await.unwrap();
        children(&client).await;
        client
    });
    roll.wait_for(&SORTS);
    drop(runtime);
    roll.all_gone();
    drop(client);
}

pub fn a_start_that_is_refused_leaves_nothing() {
    within(async {
        let roll = Roll::new();
        let refused = builder(&roll.address, "refuse").spawn().await;
        assert!(refused.is_err());
        roll.all_gone();
    });
}

/// The program that is killed: it has started an app-server, and does nothing for it any more.
pub fn host() -> ! {
    let runtime = Runtime::new().unwrap();
    let _client = runtime.block_on(async {
        let address = env::var(ADDRESS).unwrap();
        let mode = env::var("FAKE_MODE").unwrap();
        let client = builder(&address, &mode).spawn().await.unwrap();
        if mode == "deaf" {
            children(&client).await;
        }
        client
    });
    park()
}

/// On Windows that holds for what hears nothing and for all that was started, since the job is closed with its only
/// handle. Elsewhere it is the end of its input that a server notices, and what does not is for the registry.
pub fn a_killed_host_leaves_nothing() {
    let (mode, names) = if cfg!(windows) {
        ("deaf", &["server", "plain", "detached", "orphan"][..])
    } else {
        ("", &["server"][..])
    };
    let roll = Roll::new();
    let mut host = Command::new(env::current_exe().unwrap())
        .arg("host")
        .env(ADDRESS, &roll.address)
        .env("FAKE_MODE", mode)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    roll.wait_for(names);
    host.kill().unwrap();
    host.wait().unwrap();
    roll.all_gone();
}

pub fn a_registry_can_be_asked_for() {
    within(async {
        let dir = tempfile::tempdir().unwrap();
        let roll = Roll::new();
        let client = builder(&roll.address, "")
            .registry(dir.path().join("records"))
            .spawn()
            .await
            .unwrap();
        client.shutdown().await;
        roll.all_gone();
        let left = std::fs::read_dir(dir.path().join("records"));
        assert_eq!(left.map_or(0, Iterator::count), 0);
    });
}

pub fn lines_may_end_as_those_of_windows() {
    within(async {
        let roll = Roll::new();
        let client = builder(&roll.address, "crlf").spawn().await.unwrap();
        let params = json!({"text": "ä\r\n"});
        let answer: Value = client.call("fake/echo", &params).await.unwrap();
        assert_eq!(answer, params);
        client.shutdown().await;
    });
}

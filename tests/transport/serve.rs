//! A served session that others join: it ends with its client, whatever happens to that.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use cas_sdk::{
    CasClient, Error,
    client::{ConnectionKind, Role},
    error::{CloseCause, ConnectErrorKind as Kind, SpawnError},
    live::Endpoint,
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;

use crate::{
    common::{codex_test, eventually, is_alive},
    kind,
    listener::{Listener, builder, socket},
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Waits until nothing is left of a server on this socket.
async fn nothing_is_left(pid: u32, path: &Path, target: &Path) {
    eventually("the server ends", || !is_alive(pid)).await;
    eventually("its socket is taken away", || {
        fs::symlink_metadata(path).is_err() && !target.exists()
    })
    .await;
}

#[tokio::test]
async fn other_clients_join_a_served_server_which_ends_with_its_client() {
    codex_test(60, async |rig| {
        let path = rig.home.path().join("new/dir/s.sock");
        let client = rig.builder().serve(Endpoint::unix(&path)).await.unwrap();
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let target = fs::canonicalize(&path).unwrap();
        assert_eq!(mode(&target), 0o600);
        assert_eq!(mode(target.parent().unwrap()), 0o700);
        let address = format!("unix://{}", path.display());
        assert_eq!(
            *client.connection_kind(),
            ConnectionKind::Served {
                address: address.clone()
            }
        );
        let pid = client.pid().unwrap();

        rig.model.reply(Reply::text("hello"));
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        let guest = builder(&rig).role(Role::Driver);
        let guest = guest.connect_to(&address).await.unwrap();
        let joined = guest.resume_thread(thread.id()).await.unwrap();
        rig.model.reply(Reply::text("hello guest"));
        let outcome = joined.ask("and I?").await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.text, "hello guest");

        guest.shutdown().await;
        assert!(is_alive(pid), "a guest ends nothing");
        let reason = client.shutdown().await;
        assert_eq!(reason.cause, CloseCause::Shutdown);
        assert!(reason.status.is_some_and(|s| s.success()), "{reason}");
        assert!(!is_alive(pid));
        nothing_is_left(pid, &path, &target).await;
        assert!(
            !path.parent().unwrap().exists(),
            "the directory was made for the socket"
        );
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_runs_does_not_keep_the_server_and_a_dropped_client_ends_it() {
    codex_test(60, async |rig| {
        let path = socket(&rig);
        let client = rig
            .builder()
            .stop_grace(Duration::from_millis(500))
            .serve(Endpoint::unix(&path))
            .await
            .unwrap();
        let (pid, target) = (client.pid().unwrap(), fs::canonicalize(&path).unwrap());
        rig.model
            .reply(Reply::new().delta("half").hold(&Gate::new()));
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let turn = thread.ask("go").await.unwrap().detach();
        drop((client, thread, turn));
        nothing_is_left(pid, &path, &target).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_dies_is_reported_with_its_exit_status() {
    codex_test(60, async |rig| {
        let path = socket(&rig);
        let client = rig.builder().serve(Endpoint::unix(&path)).await.unwrap();
        let (pid, target) = (client.pid().unwrap(), fs::canonicalize(&path).unwrap());
        kill_process(
            Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
            Signal::KILL,
        )
        .unwrap();
        let reason = client.closed().await;
        assert_eq!(reason.cause, CloseCause::Exited, "{reason}");
        assert!(reason.to_string().contains("signal: 9"), "{reason}");
        nothing_is_left(pid, &path, &target).await;
    })
    .await;
}

/// A program that serves and is killed: this test binary, re-executed.
#[test]
#[ignore = "this is the host that another test kills"]
fn host() {
    let Ok(path) = std::env::var("HOST_SOCKET") else {
        return;
    };
    let codex = std::env::var("HOST_CODEX").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = CasClient::builder()
            .codex(codex)
            .serve(Endpoint::unix(&path))
            .await
            .unwrap();
        let out = format!("{path}.pid");
        fs::write(format!("{out}~"), client.pid().unwrap().to_string()).unwrap();
        fs::rename(format!("{out}~"), out).unwrap();
        tokio::time::sleep(Duration::from_secs(300)).await;
    });
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_no_server_and_no_socket() {
    codex_test(60, async |rig| {
        // The second one is stopped, so that it ignores SIGTERM.
        for stopped in [false, true] {
            let path = rig.home.path().join(format!("{stopped}/s.sock"));
            let mut host = tokio::process::Command::new(std::env::current_exe().unwrap())
                .args(["serve::host", "--exact", "--ignored", "--nocapture"])
                .env_clear()
                .envs(rig.home.env())
                .env("HOST_CODEX", rig.codex())
                .env("HOST_SOCKET", &path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let out = path.with_extension("sock.pid");
            eventually("the host serves", || out.exists()).await;
            let pid: u32 = fs::read_to_string(&out).unwrap().parse().unwrap();
            fs::remove_file(&out).unwrap();
            let target = fs::canonicalize(&path).unwrap();
            if stopped {
                let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                kill_process(pid, Signal::STOP).unwrap();
            }
            host.kill().await.unwrap();
            nothing_is_left(pid, &path, &target).await;
            eventually("its directory is taken away", || {
                !path.parent().unwrap().exists()
            })
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_socket_in_use_is_left_to_its_server_and_a_stale_one_is_taken_over() {
    codex_test(60, async |rig| {
        let mut other = Listener::unix(&rig).await;
        let address = other.address.clone();
        assert!(matches!(
            kind(rig.builder().serve(&address).await),
            Kind::InUse
        ));
        builder(&rig).connect_to(&address).await.unwrap();
        other.kill().await;
        assert!(matches!(
            kind(builder(&rig).connect_to(&address).await),
            Kind::Stale
        ));
        let client = rig.builder().serve(&address).await.unwrap();
        client.shutdown().await;

        // Of several at once, one lives, and the others say why not.
        let starts = (0..3).map(|_| rig.builder().serve(&address));
        let started = futures_util::future::join_all(starts).await;
        let (one, others): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
        assert_eq!(one.len(), 1, "{others:?}");
        for other in others {
            assert!(matches!(kind(other), Kind::InUse));
        }
    })
    .await;
}

#[tokio::test]
async fn a_start_that_cannot_be_served_says_why_and_leaves_nothing() {
    codex_test(60, async |rig| {
        for address in ["ws://127.0.0.1:1", "wss://localhost"] {
            let error = kind(rig.builder().serve(address).await);
            assert!(matches!(error, Kind::InvalidAddress(_)), "{error:?}");
        }
        let dir = tempdir().unwrap();
        let path = dir.path().join("s.sock");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = rig
            .builder()
            .serve(Endpoint::unix(&path))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(&path, "kept").unwrap();
        assert!(matches!(
            kind(rig.builder().serve(Endpoint::unix(&path)).await),
            Kind::NotASocket(_)
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        fs::remove_file(&path).unwrap();

        let ends = rig
            .builder()
            .config("approval_policy", "\"nonsense\"")
            .serve(Endpoint::unix(&path))
            .await;
        match ends.unwrap_err() {
            Error::Spawn(SpawnError::Exited { reason, .. }) => {
                assert!(!reason.stderr_tail.is_empty(), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        // A program that never listens.
        let never = dir.path().join("never");
        fs::write(&never, "#!/bin/sh\nexec sleep 300\n").unwrap();
        fs::set_permissions(&never, fs::Permissions::from_mode(0o700)).unwrap();
        let builder = CasClient::builder().codex(&never);
        let builder = builder
            .handshake_timeout(Duration::from_millis(500))
            .stop_grace(Duration::from_millis(300));
        let error = kind(builder.serve(Endpoint::unix(&path)).await);
        assert!(matches!(error, Kind::Silent { .. }), "{error:?}");
    })
    .await;
}

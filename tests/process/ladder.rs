//! The stop ladder: every rung, and every way to climb it.

use std::{fs, os::unix::process::ExitStatusExt as _, time::Instant};

use cas_sdk::error::{CloseCause, CloseReason};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    common::{codex_test_with, eventually, is_alive, within},
    fake::{Fake, GRACE},
};

/// Starts a fake in this mode, prepares it, and shuts it down. The shutdown climbs this number of
/// rungs.
async fn shut_down(mode: &str, before: impl Fn(Pid), rungs: u32) -> CloseReason {
    let fake = Fake::new();
    let client = fake.client(mode).await;
    let pid = client.pid().unwrap();
    before(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap());
    let begun = Instant::now();
    let reason = client.shutdown().await;
    let took = begun.elapsed();
    assert!(!is_alive(pid));
    assert!(fake.left().is_empty(), "it returns when all is gone");
    assert!(took >= GRACE * (rungs - 1), "{mode}: {took:?}");
    assert_eq!(reason.cause, CloseCause::Shutdown);
    CloseReason::clone(&reason)
}

#[tokio::test]
async fn each_rung_of_the_ladder_ends_what_the_one_before_did_not() {
    within(60, async {
        let status = shut_down("", |_| {}, 1).await.status.unwrap();
        assert_eq!(status.code(), Some(0), "the end of its input");
        let status = shut_down("deaf", |_| {}, 2).await.status.unwrap();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
        let status = shut_down("stubborn", |_| {}, 3).await.status.unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        let stop = |pid: Pid| {
            kill_process(pid, Signal::STOP).unwrap();
            // Stopping all its threads takes a moment.
            let stat = format!("/proc/{}/stat", pid.as_raw_pid());
            while !fs::read_to_string(&stat).unwrap().contains(") T ") {
                std::thread::yield_now();
            }
        };
        let status = shut_down("", stop, 3).await.status.unwrap();
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "it was stopped"
        );
    })
    .await;
}

#[tokio::test]
async fn the_drop_of_the_last_handle_climbs_the_same_ladder() {
    within(60, async {
        for mode in ["", "deaf", "stubborn"] {
            let fake = Fake::new();
            drop(fake.client(mode).await);
            fake.nothing_is_left().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_unlimited_grace_period_waits_for_nothing_that_has_ended() {
    within(60, async {
        let fake = Fake::new();
        let builder = fake.builder("").stop_grace(std::time::Duration::MAX);
        let client = builder
            .registry(fake.file("registry"))
            .spawn()
            .await
            .unwrap();
        crate::fake::child(&client, "polite").await;
        client.shutdown().await;
        assert!(fake.left().is_empty());
    })
    .await;
}

#[test]
fn the_end_of_the_runtime_kills_at_once_even_what_ignores_signals() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = Fake::new();
    let client = runtime.block_on(async {
        let client = fake.client("stubborn").await;
        for sort in ["plain", "setsid", "stranger", "daemon"] {
            crate::fake::child(&client, sort).await;
        }
        client
    });
    assert_eq!(fake.left().len(), 5);
    drop(runtime);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(fake.nothing_is_left());
    drop(client);
}

#[tokio::test]
async fn the_real_codex_with_a_command_that_runs_is_gone_after_a_shutdown() {
    use cas_sdk::testing::Reply;
    codex_test_with(|home| home.sandbox_mode("danger-full-access"), 60, async |rig| {
        let (client, thread) = rig.thread().await;
        let pids = rig.home.work_dir().join("pids");
        // A background job, and a process in a session of its own.
        let script = "sleep 300 & echo $! >> pids; setsid sh -c 'echo $$ >> pids; exec sleep 300' & sleep 300";
        rig.model.reply(Reply::new().function_call(
            "c",
            "exec_command",
            serde_json::json!({"cmd": script, "yield_time_ms": 60_000}),
        ));
        let turn = thread.ask("go").await.unwrap();
        let read = || std::fs::read_to_string(&pids).unwrap_or_default();
        eventually("both run", || read().lines().count() == 2).await;
        let pids: Vec<u32> = read().lines().map(|l| l.parse().unwrap()).collect();
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        let server = client.pid().unwrap();
        client.shutdown().await;
        assert!(!is_alive(server));
        assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
        drop(turn);
    }).await;
}

//! Shared parts of the tests.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod raw;
pub mod scenes;

use std::{future::Future, pin::Pin, time::Duration};

use cas_sdk::{
    Builder, CasClient, Thread,
    protocol::ThreadStartParams,
    testing::{self, CodexHome, CodexHomeBuilder, MockModel},
};

/// A codex home and a scripted model, for which it starts clients.
pub struct Rig {
    codex: std::path::PathBuf,
    pub model: MockModel,
    pub home: CodexHome,
}

impl Rig {
    /// Creates a rig. `None`, with a note on stderr, without a codex and npm.
    pub async fn new() -> Option<Self> {
        Self::with(|home| home).await
    }

    /// Creates a rig with this configuration.
    pub async fn with(
        configure: impl FnOnce(CodexHomeBuilder) -> CodexHomeBuilder,
    ) -> Option<Self> {
        let codex = testing::codex_or_skip().await?;
        let model = MockModel::start().await;
        let home = configure(CodexHome::builder(&model))
            .build()
            .expect("a home can be made");
        Some(Self { codex, model, home })
    }

    pub fn codex(&self) -> &std::path::Path {
        &self.codex
    }

    pub fn builder(&self) -> Builder {
        CasClient::builder()
            .codex(&self.codex)
            .env_clear()
            .envs(self.home.env())
            .cwd(self.home.work_dir())
    }

    pub async fn client(&self) -> CasClient {
        self.builder().spawn().await.expect("codex starts")
    }

    pub async fn thread(&self) -> (CasClient, Thread) {
        let client = self.client().await;
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .expect("a thread starts");
        (client, thread)
    }
}

/// A test against the real codex, ended after `seconds`. Skipped with a note on stderr where there is neither a codex
/// nor npm; in CI that is a failure.
pub fn codex_test<'t>(
    seconds: u64,
    test: impl AsyncFnOnce(Rig) + 't,
) -> Pin<Box<dyn Future<Output = ()> + 't>> {
    codex_test_with(|home| home, seconds, test)
}

/// Like [`codex_test`], with a configuration of its own.
pub fn codex_test_with<'t>(
    configure: impl FnOnce(CodexHomeBuilder) -> CodexHomeBuilder + 't,
    seconds: u64,
    test: impl AsyncFnOnce(Rig) + 't,
) -> Pin<Box<dyn Future<Output = ()> + 't>> {
    Box::pin(async move {
        if let Some(rig) = Rig::with(configure).await {
            within(seconds, test(rig)).await;
        }
    })
}

/// Fails the test if the work takes longer than this limit.
pub async fn within<F: Future>(seconds: u64, work: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(seconds), work)
        .await
        .expect("in time")
}

/// Whether a process is alive. A zombie is not.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(
            stat.rsplit(')')
                .next()
                .map(|s| s.trim_start().chars().next()),
            Some(Some('Z' | 'X'))
        )
    })
}

/// Processes of this command line, whoever started them.
pub fn processes(command: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let of = all.filter(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.trim() == command
    });
    of.count()
}

/// Polls until a condition holds, for at most 10 s.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 10 s");
}

/// Aborts the program unless it is dropped in time, since a blocked runtime fires no timers.
#[must_use = "it watches until it is dropped"]
pub fn watchdog(seconds: u64, what: &str) -> Watchdog {
    let (alive, watch) = std::sync::mpsc::channel::<()>();
    let what = what.to_owned();
    std::thread::spawn(move || {
        let gone = watch.recv_timeout(Duration::from_secs(seconds));
        if gone == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{what}: not over within {seconds} s");
            std::process::abort();
        }
    });
    Watchdog(alive)
}

/// See [`watchdog`].
pub struct Watchdog(
    #[expect(dead_code, reason = "its drop is what counts")] std::sync::mpsc::Sender<()>,
);

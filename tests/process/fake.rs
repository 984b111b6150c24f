//! A fake app-server: this test binary, re-executed, and so are its children.
//!
//! | request | effect |
//! | --- | --- |
//! | `initialize` | answers, unless `FAKE_MODE` is `silent` or deaf, `refuse`, `garbage` |
//! | `thread/start`, `turn/start` | answer with the thread `t` and the turn `u` |
//! | `thread/resume` | nothing if it is `forgetful` |
//! | `fake/never` | nothing |
//! | `fake/die` | writes `params.lines`, then `params.stderr` to stderr, and exits with `params.code` |
//! | `fake/child` | starts a child of the sort `params.sort` and answers when it runs |
//!
//! It exits at the end of its input unless it is `deaf` or `stubborn`. A stubborn one also ignores
//! SIGTERM.
//!
//! | sort | process |
//! | --- | --- |
//! | `plain` | a child in the group, with the output pipe of its parent, as all have |
//! | `nameless` | a child in the group, without the environment of its parent |
//! | `setsid` | a child in its own session |
//! | `stranger` | the same, without the environment of its parent |
//! | `daemon` | a process in its own session, whose parent has ended |
//! | `polite` | a child in its own session, which writes a file on SIGTERM |

use std::{
    fs,
    io::{self, BufRead as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio, exit},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use cas_sdk::{Builder, CasClient};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The variable that marks all processes of a test.
pub(crate) const RUN: &str = "FAKE_RUN";

/// The grace period of a rung of the stop ladder.
pub(crate) const GRACE: Duration = Duration::from_millis(400);

/// A fake, its directory, and its remaining processes.
pub(crate) struct Fake {
    dir: TempDir,
    run: String,
}

impl Fake {
    /// Creates a fake with shell code that runs before it.
    pub(crate) fn with(prelude: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = tempfile::tempdir().unwrap();
        // The test harness prints to stdout, so the fake uses another descriptor.
        let script = format!(
            "#!/bin/sh\n{prelude}\nexec '{}' fake::app_server --exact --ignored --nocapture 3>&1 >/dev/null\n",
            std::env::current_exe().unwrap().display()
        );
        let codex = dir.path().join("codex");
        fs::write(&codex, script).unwrap();
        fs::set_permissions(&codex, fs::Permissions::from_mode(0o755)).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let run = format!("{}-{count}-{:?}", std::process::id(), Instant::now());
        Self { dir, run }
    }

    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn codex(&self) -> PathBuf {
        self.dir.path().join("codex")
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    pub(crate) fn builder(&self, mode: &str) -> Builder {
        CasClient::builder()
            .codex(self.codex())
            .env(RUN, &self.run)
            .env("FAKE_DIR", self.dir.path())
            .env("FAKE_MODE", mode)
            .stop_grace(GRACE)
    }

    pub(crate) async fn client(&self, mode: &str) -> CasClient {
        self.builder(mode).spawn().await.expect("the fake starts")
    }

    /// The remaining processes.
    pub(crate) fn left(&self) -> Vec<u32> {
        marked(&self.run)
    }

    pub(crate) async fn nothing_is_left(&self) {
        crate::common::eventually("nothing is left", || self.left().is_empty()).await;
    }
}

/// The processes of a run, found by their environment.
pub(crate) fn marked(run: &str) -> Vec<u32> {
    let variable = format!("{RUN}={run}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|v| v == variable.as_bytes())
                && crate::common::is_alive(*pid)
        })
        .collect()
}

/// Makes the fake start a child, and waits until it runs.
pub(crate) async fn child(client: &CasClient, sort: &str) -> u32 {
    let params = json!({"sort": sort});
    let answer: Value = client.call("fake/child", &params).await.unwrap();
    u32::try_from(answer["pid"].as_u64().unwrap()).unwrap()
}

#[test]
#[ignore = "this is the fake app-server, which the other tests start"]
fn app_server() {
    let Ok(mode) = std::env::var("FAKE_MODE") else {
        return;
    };
    if let Some(code) = mode.strip_prefix("exit ") {
        eprintln!("famous last words");
        exit(code.parse().unwrap());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if mode == "stubborn" {
        ignore_sigterm(&runtime);
    }
    let _ = serve(&mode);
    if mode == "deaf" || mode == "stubborn" {
        park();
    }
    exit(0);
}

fn serve(mode: &str) -> io::Result<()> {
    let mut out = io::LineWriter::new(fs::File::options().write(true).open("/dev/fd/3")?);
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let Some(id) = message.get("id") else {
            continue;
        };
        let params = &message["params"];
        let result = match (message["method"].as_str().unwrap_or_default(), mode) {
            ("initialize", "silent") | ("fake/never", _) => continue,
            ("initialize", "refuse") => {
                writeln!(
                    out,
                    "{}",
                    json!({"id": id, "error": {"code": -32600, "message": "no"}})
                )?;
                continue;
            }
            ("initialize", "garbage") => json!({"userAgent": 7}),
            ("initialize", _) => json!({"userAgent": "cas/9.9.9 (fake)"}),
            ("thread/start", _) => json!({"thread": {"id": "t"}}),
            ("turn/start", _) => json!({"turn": {"id": "u", "items": [], "status": "inProgress"}}),
            ("thread/resume", "forgetful") => {
                let dir = PathBuf::from(std::env::var("FAKE_DIR").unwrap());
                fs::write(dir.join("asked-to-resume"), "")?;
                continue;
            }
            ("fake/die", _) => {
                for line in params["lines"].as_array().into_iter().flatten() {
                    writeln!(out, "{line}")?;
                }
                eprintln!("{}", params["stderr"].as_str().unwrap_or_default());
                exit(i32::try_from(params["code"].as_i64().unwrap_or_default()).unwrap());
            }
            ("fake/child", _) => json!({"pid": start(params["sort"].as_str().unwrap_or_default())}),
            _ => params.clone(),
        };
        writeln!(out, "{}", json!({"id": id, "result": result}))?;
    }
    Ok(())
}

#[expect(clippy::zombie_processes, reason = "what it starts is to outlive it")]
/// Starts a child and returns its process id when it runs.
fn start(sort: &str) -> u32 {
    let ready = PathBuf::from(std::env::var("FAKE_DIR").unwrap()).join(format!("ready-{sort}"));
    let _ = fs::remove_file(&ready);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["fake::grandchild", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::null());
    if sort == "stranger" || sort == "nameless" {
        let run = std::env::var(RUN).unwrap();
        let dir = std::env::var("FAKE_DIR").unwrap();
        command.env_clear().env(RUN, run).env("FAKE_DIR", dir);
    }
    let mut child = command.env("FAKE_SORT", sort).spawn().unwrap();
    if sort == "daemon" {
        child.wait().unwrap(); // Its own child goes on.
    }
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(10), "no {sort} child");
        match fs::read_to_string(&ready).map(|text| text.parse()) {
            Ok(Ok(pid)) => return pid,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
#[ignore = "this is what the fake app-server starts"]
fn grandchild() {
    let Ok(sort) = std::env::var("FAKE_SORT") else {
        return;
    };
    let dir = PathBuf::from(std::env::var("FAKE_DIR").unwrap());
    if sort == "daemon" && std::env::var("FAKE_FORKED").is_err() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["fake::grandchild", "--exact", "--ignored", "--nocapture"]);
        again.env("FAKE_FORKED", "1").spawn().unwrap();
        exit(0);
    }
    if sort != "plain" && sort != "nameless" {
        rustix::process::setsid().unwrap();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let polite = (sort == "polite").then(|| {
        let _context = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap()
    });
    let ready = dir.join(format!("ready-{sort}"));
    fs::write(&ready, std::process::id().to_string()).unwrap();
    if let Some(mut term) = polite {
        runtime.block_on(term.recv());
        fs::write(dir.join("goodbye"), "").unwrap();
        exit(0);
    }
    park();
}

fn ignore_sigterm(runtime: &tokio::runtime::Runtime) {
    let _context = runtime.enter();
    let kind = tokio::signal::unix::SignalKind::terminate();
    drop(tokio::signal::unix::signal(kind).unwrap()); // The default action does not come back.
}

/// Sleeps longer than any test.
fn park() -> ! {
    std::thread::sleep(Duration::from_secs(300));
    exit(9)
}

//! Programs that are killed before they can clean up, and npm's shim, which starts codex from Node.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cas_sdk::{CasClient, Error, error::SpawnError, testing::CODEX_VERSION};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    common::{codex_test, is_alive, within},
    fake::{Fake, GRACE, RUN, child, marked},
};

/// A program that uses the crate and is killed: this test binary, re-executed.
pub(crate) struct Host {
    child: Child,
    /// The process id of its server.
    pub(crate) server: u32,
}

impl Host {
    /// Starts a host whose server is `codex`, and waits until the server runs.
    pub(crate) fn start(codex: &Path, out: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["hosts::host", "--exact", "--ignored", "--nocapture"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        prepare(&mut command);
        command.env("HOST_CODEX", codex).env("HOST_OUT", out);
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        loop {
            if let Ok(Ok(server)) = fs::read_to_string(out).map(|text| text.parse()) {
                return Self { child, server };
            }
            assert!(child.try_wait().unwrap().is_none(), "the host has ended");
            assert!(begun.elapsed() < Duration::from_secs(20), "no server");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a host whose server is the fake.
    pub(crate) fn of(fake: &Fake, mode: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let out = fake.file(&format!("host-{:?}", Instant::now()));
        Self::start(&fake.codex(), &out, |command| {
            command
                .env(RUN, fake.run())
                .env("FAKE_DIR", fake.file(""))
                .env("FAKE_MODE", mode);
            prepare(command);
        })
    }

    /// Kills the host, so that it cannot clean up.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
#[ignore = "this is the host that the other tests kill"]
fn host() {
    let Ok(out) = std::env::var("HOST_OUT") else {
        return;
    };
    let var = |name| std::env::var(name).ok();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut builder = CasClient::builder()
            .codex(var("HOST_CODEX").unwrap())
            .stop_grace(GRACE);
        if let Some(dir) = var("HOST_REGISTRY") {
            builder = builder.registry(dir);
        }
        let client = builder.spawn().await.unwrap();
        for sort in var("HOST_CHILDREN").unwrap_or_default().split_whitespace() {
            child(&client, sort).await;
        }
        let pid = client.pid().unwrap().to_string();
        fs::write(format!("{out}~"), pid).unwrap();
        fs::rename(format!("{out}~"), out).unwrap();
        tokio::time::sleep(Duration::from_secs(300)).await;
    });
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_no_app_server() {
    codex_test(60, async |rig| {
        let fake = Fake::new();
        let mut host = Host::start(rig.codex(), &fake.file("out"), |command| {
            command
                .env_clear()
                .envs(rig.home.env())
                .env(RUN, fake.run());
        });
        assert!(is_alive(host.server));
        host.kill();
        fake.nothing_is_left().await;
        assert!(!is_alive(host.server));

        let mut host = Host::of(&fake, "", |_| {});
        host.kill();
        fake.nothing_is_left().await;
    })
    .await;
}

#[tokio::test]
async fn npms_shim_and_the_codex_behind_it_are_ended_together() {
    codex_test(120, async |rig| {
        let Some((shim, _dir)) = shim(rig.codex()) else {
            return;
        };
        within(120, async {
            let fake = Fake::new();
            let path = std::env::var("PATH").unwrap_or_default();
            let start = || async {
                let builder = rig.builder().codex(&shim).env("PATH", &path);
                let client = builder.env(RUN, fake.run()).spawn().await.unwrap();
                // A newer Node execs codex, an older one spawns it.
                assert!(!fake.left().is_empty());
                client
            };

            let client = start().await;
            let reason = client.shutdown().await;
            assert_eq!(reason.status.and_then(|s| s.code()), Some(0));
            assert!(fake.left().is_empty());

            drop(start().await);
            fake.nothing_is_left().await;

            // The shim is killed without a signal to codex.
            let client = start().await;
            let shim_pid = i32::try_from(client.pid().unwrap()).unwrap();
            kill_process(Pid::from_raw(shim_pid).unwrap(), Signal::KILL).unwrap();
            let reason = client.closed().await;
            assert!(reason.to_string().contains("signal: 9"), "{reason}");
            assert!(fake.left().is_empty());

            let mut host = Host::start(&shim, &fake.file("out"), |command| {
                command.env_clear().envs(rig.home.env());
                command.env("PATH", &path).env(RUN, fake.run());
            });
            host.kill();
            fake.nothing_is_left().await;
            assert!(marked(fake.run()).is_empty());
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn npms_shim_starts_without_node_on_the_path() {
    codex_test(120, async |rig| {
        let Some((shim, _dir)) = shim(rig.codex()) else {
            return;
        };
        within(120, async {
            let fake = Fake::new();
            // The `PATH` of a program that was started from a desktop.
            let bin = fake.file("bin");
            fs::create_dir(&bin).unwrap();
            std::os::unix::fs::symlink("/bin/sh", bin.join("sh")).unwrap();
            let link = bin.join("codex");
            std::os::unix::fs::symlink(&shim, &link).unwrap();
            for program in [&shim, &link] {
                let builder = rig.builder().codex(program).env("PATH", &bin);
                let client = builder.env(RUN, fake.run()).spawn().await.unwrap();
                let version = client.server().unwrap().version().map(str::to_owned);
                let pid = client.pid().unwrap();
                let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
                assert!(exe.ends_with("bin/codex"), "{}", exe.display());
                assert!(version.is_some());
                client.shutdown().await;
                assert!(fake.left().is_empty());
            }

            // The package of this platform is missing, as after `npm install --omit=optional`.
            let root = fake.file("node_modules/@openai/codex");
            fs::create_dir_all(root.join("bin")).unwrap();
            let shim = root.join("bin/codex.js");
            fs::write(&shim, "#!/usr/bin/env node\n").unwrap();
            fs::write(root.join("package.json"), "{}").unwrap();
            executable(&shim).unwrap();
            let error = rig.builder().codex(&shim).env("PATH", &bin).spawn().await;
            let error = error.unwrap_err();
            let Error::Spawn(SpawnError::NodeMissing { script, looked }) = &error else {
                panic!("{error:?}")
            };
            assert_eq!(script, &shim);
            assert!(!looked.is_empty());
            assert!(error.to_string().contains("needs Node"), "{error}");
        })
        .await;
    })
    .await;
}

/// The script that npm links as `codex`: beside the binary, or else fetched.
fn shim(codex: &Path) -> Option<(PathBuf, Option<tempfile::TempDir>)> {
    let skip = |why: &str| {
        let ci = std::env::var("CI").unwrap_or_default();
        assert!(ci != "true" && ci != "1", "this must not be skipped: {why}");
        eprintln!("SKIPPED: no shim to test with: {why}");
        None
    };
    if which::which("node").is_err() {
        return skip("there is no Node");
    }
    let beside = codex.ancestors().map(|dir| dir.join("codex/bin/codex.js"));
    if let Some(shim) = beside.into_iter().find(|path| path.is_file()) {
        executable(&shim)?;
        return Some((shim, None));
    }
    let dir = tempfile::tempdir().unwrap();
    let npm = Command::new("npm")
        .args([
            "install",
            "--omit=optional",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ])
        .args(["--global=false", "--no-save", "--prefix"])
        .arg(dir.path())
        .arg(format!("@openai/codex@{CODEX_VERSION}"))
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .status();
    if !npm.is_ok_and(|status| status.success()) {
        return skip("npm did not get it");
    }
    // The package of the platform is there already, whatever it is called there.
    let package = codex.ancestors().find(|dir| dir.join("vendor").is_dir())?;
    let platform = match std::env::consts::ARCH {
        "aarch64" => "codex-linux-arm64",
        _ => "codex-linux-x64",
    };
    let packages = dir.path().join("node_modules/@openai");
    let _ = fs::remove_dir_all(packages.join(platform));
    std::os::unix::fs::symlink(package, packages.join(platform)).unwrap();
    let shim = packages.join("codex/bin/codex.js");
    executable(&shim)?;
    Some((shim, Some(dir)))
}

/// Makes a file executable, as npm does when it links it.
fn executable(shim: &Path) -> Option<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(shim).ok()?.permissions().mode();
    if mode & 0o111 == 0 {
        fs::set_permissions(shim, fs::Permissions::from_mode(mode | 0o755)).ok()?;
    }
    Some(())
}

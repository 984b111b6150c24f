//! The installation of codex into the cache: atomic, and safe under concurrent processes.

use std::{
    env, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use crate::transport::private_files::PrivateDir;

use super::{
    note::announce,
    version::{CODEX_VERSION, FetchError, version_of},
};

/// The limit for npm, and for other processes that wait for the one that runs it.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// An installation of the pinned codex into a cache directory.
#[derive(Clone, Debug)]
pub(super) struct Install {
    cache: PathBuf,
    /// The name of this platform in codex's packages, such as `linux-x64`.
    platform: &'static str,
    /// The directory of the package that holds the binary.
    triple: &'static str,
    /// The npm to run. `None` is the one on the `PATH`.
    npm: Option<PathBuf>,
    deadline: Duration,
}

impl Install {
    pub(super) fn new(cache: PathBuf) -> Result<Self, FetchError> {
        let (os, arch) = (env::consts::OS, env::consts::ARCH);
        let (platform, triple) = match (os, arch) {
            ("linux", "x86_64") => ("linux-x64", "x86_64-unknown-linux-musl"),
            ("linux", "aarch64") => ("linux-arm64", "aarch64-unknown-linux-musl"),
            ("macos", "x86_64") => ("darwin-x64", "x86_64-apple-darwin"),
            ("macos", "aarch64") => ("darwin-arm64", "aarch64-apple-darwin"),
            ("windows", "x86_64") => ("win32-x64", "x86_64-pc-windows-msvc"),
            ("windows", "aarch64") => ("win32-arm64", "aarch64-pc-windows-msvc"),
            _ => return Err(FetchError::Platform { os, arch }),
        };
        Ok(Self {
            cache,
            platform,
            triple,
            npm: None,
            deadline: DEADLINE,
        })
    }

    /// Installs the binary if it is missing, and returns its path.
    pub(super) async fn run(&self) -> Result<PathBuf, FetchError> {
        let name = format!("codex-{CODEX_VERSION}-{}", self.platform);
        // The binary in there is executed, so only this user may write to it.
        let cache = PrivateDir::own(&self.cache).map_err(at(&self.cache))?;
        let home = self.cache.join(&name);
        let binary = home.join(self.binary());
        // The directory gets this name only when it is complete and checked.
        if binary.is_file() {
            return Ok(binary);
        }
        let _lock = self.lock(&cache, &format!("{name}.lock")).await?;
        if binary.is_file() {
            return Ok(binary);
        }
        let npm = match &self.npm {
            Some(npm) => npm.clone(),
            None => which::which("npm").map_err(|_| FetchError::NoNpm)?,
        };

        let unfinished = format!("{name}.unfinished-");
        self.remove_leftovers(&name, &unfinished)?;
        let temporary = tempfile::Builder::new()
            .prefix(&unfinished)
            .tempdir_in(&self.cache)
            .map_err(at(&self.cache))?;
        announce(&format!(
            "fetching codex {CODEX_VERSION} with npm into {} (about 170 MB, once)",
            home.display()
        ));
        let started = Instant::now();
        self.npm_install(&npm, temporary.path()).await?;
        let fetched = temporary.path().join(self.binary());
        let version = version_of(&fetched).await?;
        if version != CODEX_VERSION {
            let reason = format!("it is codex {version}, not {CODEX_VERSION}");
            return Err(FetchError::Unusable {
                path: fetched,
                reason,
            });
        }
        fs::rename(temporary.path(), &home).map_err(at(&home))?;
        // It has its final name, so it must not be removed.
        let _ = temporary.keep();
        announce(&format!(
            "codex {CODEX_VERSION} is ready after {:.0?}",
            started.elapsed()
        ));
        Ok(binary)
    }

    fn binary(&self) -> PathBuf {
        [
            "node_modules/@openai/codex/vendor",
            self.triple,
            "bin",
            if cfg!(windows) { "codex.exe" } else { "codex" },
        ]
        .iter()
        .collect()
    }

    /// Takes the lock of the process that installs. The system releases it when the file is closed,
    /// also after a crash.
    async fn lock(&self, cache: &PrivateDir, name: &str) -> Result<File, FetchError> {
        let path = &self.cache.join(name);
        let mut told = false;
        // Polled rather than awaited in a blocking thread, which would delay the end of the runtime
        // of a test that has timed out.
        let locked = async {
            loop {
                if let Some(file) = cache.try_lock(name).map_err(at(path))? {
                    return Ok(file);
                }
                if !std::mem::replace(&mut told, true) {
                    announce(&format!(
                        "waiting for another process to fetch codex {CODEX_VERSION}"
                    ));
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = timeout(self.deadline, locked).await;
        waited.map_err(|_| FetchError::Timeout {
            what: format!("waiting for the lock {}", path.display()),
            after: self.deadline,
        })?
    }

    /// Removes leftovers of killed installations, and a damaged installation.
    fn remove_leftovers(&self, name: &str, unfinished: &str) -> Result<(), FetchError> {
        for entry in fs::read_dir(&self.cache).map_err(at(&self.cache))? {
            let entry = entry.map_err(at(&self.cache))?;
            let entry_name = entry.file_name();
            if entry_name == name || entry_name.to_string_lossy().starts_with(unfinished) {
                fs::remove_dir_all(entry.path()).map_err(at(&entry.path()))?;
            }
        }
        Ok(())
    }

    async fn npm_install(&self, npm: &Path, prefix: &Path) -> Result<(), FetchError> {
        // The package of the platform itself: in `@openai/codex` it is an optional dependency, and
        // npm would not say why it is missing.
        let package = format!("@openai/codex@{CODEX_VERSION}-{}", self.platform);
        let mut command = Command::new(npm);
        command
            .args(["install", "--prefix"])
            .arg(prefix)
            // The user's configuration (registry, proxy, credentials) applies, except for settings
            // that would install elsewhere or otherwise.
            .args([
                "--global=false",
                "--no-save",
                "--no-package-lock",
                "--dry-run=false",
            ])
            .args([
                "--no-audit",
                "--no-fund",
                "--no-progress",
                "--ignore-scripts",
                "--loglevel=error",
                // By default npm retries for over a minute without a network.
                "--fetch-retry-mintimeout=1000",
                "--fetch-retry-maxtimeout=5000",
            ])
            .arg(&package)
            .current_dir(prefix)
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let output = timeout(self.deadline, command.output())
            .await
            .map_err(|_| FetchError::Timeout {
                what: format!("npm install {package}"),
                after: self.deadline,
            })?
            .map_err(at(npm))?;
        if output.status.success() {
            return Ok(());
        }
        Err(FetchError::Npm {
            package,
            status: output.status,
            stderr: tail(&String::from_utf8_lossy(&output.stderr)),
        })
    }
}

/// The last lines of npm's stderr, without stack traces and the hint to its log file.
fn tail(stderr: &str) -> String {
    let matters = |line: &&str| {
        let text = line.trim_start_matches("npm error").trim();
        !text.is_empty()
            && !text.starts_with("at ")
            && !text.starts_with("A complete log of this run")
    };
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(matters).collect();
    let from = lines.len().saturating_sub(20);
    lines[from..].join("\n")
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Io { path, source }
}

#[cfg(all(test, unix))] // Their npm is a shell script.
#[path = "install_tests.rs"]
mod tests;

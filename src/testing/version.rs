//! The pinned version of codex, the check of a binary, and the reasons why there is none.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::error::rounded::Rounded;

/// The version of codex that [`codex`](super::codex()) returns, from whose schema this crate was generated.
pub const CODEX_VERSION: &str = "0.171.0";

/// The variable that names a binary to use instead of the fetched one.
pub(super) const OVERRIDE: &str = "CAS_TEST_CODEX";

/// The limit for `codex --version`, generous for a busy machine.
const VERSION_DEADLINE: Duration = Duration::from_secs(60);

/// The reason why there is no codex to test with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Codex has no build for this platform.
    #[error(
        "codex has no package for {os} on {arch}; set {OVERRIDE} to the path of a codex binary"
    )]
    Platform {
        /// As in [`std::env::consts::OS`].
        os: &'static str,
        /// As in [`std::env::consts::ARCH`].
        arch: &'static str,
    },
    /// There is no `npm` on the `PATH`.
    #[error(
        "npm was not found on PATH; install Node.js (which brings npm), or set {OVERRIDE} to the path of a codex binary"
    )]
    NoNpm,
    /// No directory for the binary is known.
    #[error("no cache directory: set CAS_SDK_CACHE, XDG_CACHE_HOME or HOME")]
    NoCache,
    /// npm could not install the package, most likely because there is no network.
    #[error(
        "npm could not install {package} ({status}); check the network, or set {OVERRIDE} to the path of a codex binary; npm said: {stderr}"
    )]
    Npm {
        /// The package and its version.
        package: String,
        /// The exit status of npm.
        status: ExitStatus,
        /// The last lines of npm's stderr.
        stderr: String,
    },
    /// A step took longer than its limit.
    #[error("{what} took longer than {}", Rounded(*after))]
    Timeout {
        /// The step.
        what: String,
        /// The limit.
        after: Duration,
    },
    /// The binary does not run, or is not codex.
    #[error("{} is not a codex that runs here: {reason}", path.display())]
    Unusable {
        /// The binary.
        path: PathBuf,
        /// The defect of the binary.
        reason: String,
    },
    /// A file or directory of the cache, or npm, cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Asks a binary for its version, which also checks that it runs and is codex.
pub(super) async fn version_of(path: &Path) -> Result<String, FetchError> {
    let unusable = |reason: String| FetchError::Unusable {
        path: path.to_owned(),
        reason,
    };
    let mut command = Command::new(path);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(VERSION_DEADLINE, command.output())
        .await
        .map_err(|_| FetchError::Timeout {
            what: format!("{} --version", path.display()),
            after: VERSION_DEADLINE,
        })?
        .map_err(|error| unusable(error.to_string()))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    match stdout.trim().strip_prefix("codex-cli ") {
        Some(version) => Ok(version.to_owned()),
        None => Err(unusable(format!(
            "--version said {:?} ({})",
            stdout.lines().next().unwrap_or_default(),
            output.status
        ))),
    }
}

//! `codex()`: the pinned codex binary, fetched once through npm into a cache.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{process::Command, sync::OnceCell, time::timeout};

use super::{install::Install, skip::announce};
use crate::error::rounded::Rounded;

/// The version of codex that [`codex`] returns, which is the one whose schema this crate was generated
/// from.
pub const CODEX_VERSION: &str = "0.171.0";

/// An explicit binary to use instead of the fetched one.
pub(super) const OVERRIDE: &str = "CAS_TEST_CODEX";

/// How long `codex --version` may take, on a machine that is busy with other things.
const VERSION_DEADLINE: Duration = Duration::from_secs(60);

/// Why there is no codex to test with.
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
    /// There is nowhere to keep the binary.
    #[error("no cache directory: set CAS_SDK_CACHE, XDG_CACHE_HOME or HOME")]
    NoCache,
    /// npm could not install the package, most likely because there is no network.
    #[error(
        "npm could not install {package} ({status}); check the network, or set {OVERRIDE} to the path of a codex binary; npm said: {stderr}"
    )]
    Npm {
        /// The package and its version.
        package: String,
        /// How npm exited.
        status: ExitStatus,
        /// The last lines that npm wrote to stderr.
        stderr: String,
    },
    /// Something took longer than it may.
    #[error("{what} took longer than {}", Rounded(*after))]
    Timeout {
        /// What took so long.
        what: String,
        /// The limit.
        after: Duration,
    },
    /// The binary does not run, or is not codex.
    #[error("{} is not a codex that runs here: {reason}", path.display())]
    Unusable {
        /// The binary.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or directory of the cache, or npm, can't be used.
    #[error("can't use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The path of the native codex binary of version [`CODEX_VERSION`].
///
/// The first call on a machine installs it with `npm install` (about 170 MB to download, 400 MB on disk)
/// into `$CAS_SDK_CACHE`, else `$XDG_CACHE_HOME/cas-sdk`, else `%LOCALAPPDATA%\cas-sdk` on Windows, else `~/.cache/cas-sdk`, and says so on stderr.
/// Later calls, in this process and in others, find it there. Test binaries that start at the same time
/// wait for the one that fetches.
///
/// `$CAS_TEST_CODEX` names a binary to use instead, of whatever version.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let codex = cas_sdk::testing::codex().await?;
/// println!("testing with {}", codex.display());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// See [`FetchError`]. A failure is not remembered: the next call tries again.
pub async fn codex() -> Result<PathBuf, FetchError> {
    static FOUND: OnceCell<PathBuf> = OnceCell::const_new();
    FOUND.get_or_try_init(find).await.cloned()
}

async fn find() -> Result<PathBuf, FetchError> {
    if let Some(path) = env::var_os(OVERRIDE).filter(|path| !path.is_empty()) {
        let path = absolute(Path::new(&path))?;
        let version = version_of(&path).await?;
        if version != CODEX_VERSION {
            announce(&format!(
                "{OVERRIDE} is codex {version}, this crate was made for {CODEX_VERSION}"
            ));
        }
        return Ok(path);
    }
    Install::new(absolute(&cache_dir()?)?)?.run().await
}

/// Tests start codex, and this crate npm, in other working directories.
fn absolute(path: &Path) -> Result<PathBuf, FetchError> {
    std::path::absolute(path).map_err(|source| FetchError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Where the binary is kept. Empty variables count as unset, as the XDG specification wants it.
fn cache_dir() -> Result<PathBuf, FetchError> {
    let variable = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("CAS_SDK_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("cas-sdk")))
        .or_else(|| {
            let local = variable("LOCALAPPDATA").filter(|_| cfg!(windows));
            local.map(|path| path.join("cas-sdk"))
        })
        .or_else(|| variable("HOME").map(|path| path.join(".cache/cas-sdk")))
        .ok_or(FetchError::NoCache)
}

/// Asks a binary for its version; this is also the check that it runs and is codex.
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

//! Compares the protocol of an installed codex to the one that this crate was built with.

mod contract;
mod drift;
mod needs;
pub(crate) mod summary;

use std::{
    collections::BTreeSet,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{process::Command, task, time};

use crate::{
    CasClient,
    error::{Error, rounded::Rounded},
    transport::{
        private_files::{self, PrivateDir},
        stdio::{CONNECT_TOKEN, without_window},
    },
};
pub use contract::{Contract, Problem, Unmet};
pub use drift::{Changed, Changes, Drift};
pub use needs::{Need, Needs, Profile};
use summary::{Summary, summarise};

/// The file of `codex app-server generate-json-schema` that holds the whole schema.
const BUNDLE: &str = "codex_app_server_protocol.schemas.json";

/// The time codex has to write its schema. It takes about a second.
const DEADLINE: Duration = Duration::from_secs(60);

/// The number of bytes of stderr that are kept when codex fails.
const STDERR_TAIL: usize = 2000;

/// A failure to obtain the schema of a codex binary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriftError {
    /// The binary does not exist or cannot be run.
    #[error("there is no codex to compare with at {}", path.display())]
    Binary {
        /// The path of the binary.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The binary did not write its schema.
    #[error("{} app-server generate-json-schema failed with {status}: {stderr}", path.display())]
    Failed {
        /// The binary.
        path: PathBuf,
        /// The exit status.
        status: ExitStatus,
        /// The end of its stderr.
        stderr: String,
    },
    /// The binary took too long and was killed.
    #[error("{} wrote no schema within {}", path.display(), Rounded(*after))]
    Timeout {
        /// The binary.
        path: PathBuf,
        /// The limit.
        after: Duration,
    },
    /// The binary did not write a schema of the app-server.
    #[error("{} wrote a schema that cannot be read: {reason}", path.display())]
    Schema {
        /// The binary.
        path: PathBuf,
        /// The defect of the schema.
        reason: String,
    },
    /// A temporary file or directory cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Compares the schema that this crate was built with to the schema of a codex binary: methods,
/// fields and values, experimental ones included.
///
/// Runs `codex app-server generate-json-schema`, which takes about a second. The result is cached
/// in `$CAS_SDK_CACHE`, else `$XDG_CACHE_HOME/cas-sdk`, else `%LOCALAPPDATA%\cas-sdk` on Windows,
/// else `~/.cache/cas-sdk`, by the binary's path, size and modification time. A cache that can't be
/// read or written is ignored.
///
/// Drift is not an error. At run time, unknown methods, fields and values are passed through.
///
/// # Errors
/// [`DriftError`] if the binary is missing, fails, hangs for a minute, or writes no schema.
pub async fn drift(codex: &Path) -> Result<Drift, DriftError> {
    Ok(drift::compare(&built_in(), &installed(codex).await?))
}

/// Checks that a codex binary has what a program needs: methods, and the fields and values that the
/// program sends.
///
/// Finds a value that this codex no longer accepts before a turn fails with it. Runs the binary as
/// [`drift`] does, with the same cache.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use cas_sdk::schema::{self, Profile};
/// let codex = cas_sdk::find_codex(None)?;
/// let contract = schema::contract(&codex, Profile::Core).await?;
/// assert!(contract.is_met(), "{contract}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// Same errors as [`drift`].
pub async fn contract(codex: &Path, needs: impl Into<Needs>) -> Result<Contract, DriftError> {
    let needs = needs.into();
    let theirs = installed(codex).await?;
    Ok(contract::check(&needs, &theirs, &built_in()))
}

/// Checks that a connected server has what a program needs.
///
/// A server cannot be asked for its schema. Its methods come from its refusal of a method that no
/// server has, which lists those that it has; nothing else is sent. Its fields and values come from
/// the recorded history of its version. A version that is newer than this crate counts as having
/// what this crate was built with.
///
/// # Errors
/// Same errors as [`CasClient::request`], except for the refusal.
pub async fn contract_of(client: &CasClient, needs: impl Into<Needs>) -> Result<Contract, Error> {
    let needs = needs.into();
    let methods = match client.call::<Value>(PROBE, &json!({})).await {
        Ok(_) => BTreeSet::new(),
        Err(Error::Rpc { source, .. }) => contract::methods_in(&source.message),
        Err(other) => return Err(other),
    };
    let server = client.server();
    let version = server.as_ref().and_then(|server| server.version());
    Ok(contract::check_running(
        &needs,
        &methods,
        version,
        &built_in(),
    ))
}

/// A method that no server has.
const PROBE: &str = "cas/probe";

/// The summary of a binary's schema, from the cache if it is there.
async fn installed(codex: &Path) -> Result<Summary, DriftError> {
    let metadata = fs::metadata(codex).map_err(|source| DriftError::Binary {
        path: codex.into(),
        source,
    })?;
    let cached = cache_dir().map(|dir| dir.join(cache_name(codex, &metadata)));
    if let Some(theirs) = cached.as_deref().and_then(cached_summary) {
        return Ok(theirs);
    }
    let dir = TempDir::new()?;
    generate(codex, &dir.0).await?;
    let path = codex.to_owned();
    let work = task::spawn_blocking(move || {
        let text = fs::read(dir.0.join(BUNDLE)).map_err(|error| error.to_string())?;
        let bundle = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let theirs = summarise(&bundle).map_err(String::from)?;
        if let Some(path) = cached
            && let Err(error) = store(&path, &summary::write(&theirs))
        {
            let path = path.display();
            tracing::debug!(target: "cas_sdk", %error, %path, "the schema is not cached");
        }
        Ok(theirs)
    });
    match work.await {
        Ok(outcome) => outcome.map_err(|reason| DriftError::Schema { path, reason }),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(DriftError::Io {
                path,
                source: io::Error::other(cancelled),
            }),
        },
    }
}

/// The summary of the schema that the types were made from.
fn built_in() -> Summary {
    read(include_str!(concat!(env!("OUT_DIR"), "/summary.txt")))
}

fn read(text: &str) -> Summary {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, what)| (name.to_owned(), what.to_owned()))
        .collect()
}

async fn generate(codex: &Path, out: &Path) -> Result<(), DriftError> {
    let run = without_window(&mut Command::new(codex))
        .args([
            "app-server",
            "generate-json-schema",
            "--experimental",
            "--out",
        ])
        .arg(out)
        .env_remove(CONNECT_TOKEN)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = time::timeout(DEADLINE, run)
        .await
        .map_err(|_| DriftError::Timeout {
            path: codex.into(),
            after: DEADLINE,
        })?
        .map_err(|source| DriftError::Binary {
            path: codex.into(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let tail = output.stderr.len().saturating_sub(STDERR_TAIL);
    Err(DriftError::Failed {
        path: codex.into(),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr[tail..])
            .trim()
            .to_owned(),
    })
}

/// The directory for files kept from run to run. Empty variables count as unset, as in the XDG
/// specification.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let dir = |variable| {
        env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    dir("CAS_SDK_CACHE")
        .or_else(|| Some(dir("XDG_CACHE_HOME")?.join("cas-sdk")))
        .or_else(|| {
            let local = dir("LOCALAPPDATA").filter(|_| cfg!(windows))?;
            Some(local.join("cas-sdk"))
        })
        .or_else(|| Some(dir("HOME")?.join(".cache/cas-sdk")))
}

/// Includes the version of the crate, since versions may summarise differently.
fn cache_name(codex: &Path, metadata: &fs::Metadata) -> String {
    let mut hasher = DefaultHasher::new();
    let path = fs::canonicalize(codex).unwrap_or_else(|_| codex.to_owned());
    (path, metadata.len(), metadata.modified().ok()).hash(&mut hasher);
    format!(
        "schema-{}-{:016x}.txt",
        env!("CARGO_PKG_VERSION"),
        hasher.finish()
    )
}

fn cached_summary(path: &Path) -> Option<Summary> {
    /// Many times the size of a summary.
    const LARGEST: u64 = 64 * 1024 * 1024;
    let dir = PrivateDir::own(path.parent()?).ok()?;
    let text = dir.read(path.file_name()?, LARGEST).ok()?;
    let summary = read(&String::from_utf8(text).ok()?);
    (!summary.is_empty()).then_some(summary)
}

/// Replaces the file atomically: readers see all of it or none.
fn store(path: &Path, text: &str) -> io::Result<()> {
    let dir = PrivateDir::own(path.parent().unwrap_or(path))?;
    dir.replace(path.file_name().unwrap_or_default(), text.as_bytes())
}

/// A directory that is removed on drop.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Result<Self, DriftError> {
        let path = env::temp_dir().join(format!("cas-sdk-schema-{}", private_files::unique_name()));
        match private_files::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(DriftError::Io { path, source }),
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

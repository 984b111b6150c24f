//! `codex()`: the pinned codex binary, fetched once through npm and cached.

use std::{
    env,
    path::{Path, PathBuf},
};

use tokio::sync::OnceCell;

use super::{
    install::Install,
    note::announce,
    version::{CODEX_VERSION, FetchError, OVERRIDE, version_of},
};

/// The path of the native codex binary of version [`CODEX_VERSION`].
///
/// The first call on a machine installs it with `npm install` (about 170 MB to download, 400 MB on disk)
/// into `$CAS_SDK_CACHE`, else `$XDG_CACHE_HOME/cas-sdk`, else `%LOCALAPPDATA%\cas-sdk` on Windows, else `~/.cache/cas-sdk`, and says so on stderr.
/// Later calls, in this process and in others, find it there. Test binaries that start at the same time
/// wait for the one that fetches.
///
/// `$CAS_TEST_CODEX` names a binary to use instead, of any version.
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
/// [`FetchError`]. A failure is not remembered: the next call tries again.
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
    let cache = crate::schema::cache_dir().ok_or(FetchError::NoCache)?;
    Install::new(absolute(&cache)?)?.run().await
}

/// Makes a path absolute, since codex and npm run in other working directories.
fn absolute(path: &Path) -> Result<PathBuf, FetchError> {
    std::path::absolute(path).map_err(|source| FetchError::Io {
        path: path.to_owned(),
        source,
    })
}

//! The files of the machine on which the server runs.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    client::handle::CasClient,
    error::Error,
    events::Events,
    events::Filter,
    protocol::{
        AbsolutePathBuf, FsChangedNotification, FsCreateDirectoryParams, FsGetMetadataParams,
        FsGetMetadataResponse, FsReadDirectoryEntry, FsReadDirectoryParams, FsReadFileParams,
        FsRemoveParams, FsWatchParams, FsWriteFileParams, FuzzyFileSearchParams,
        FuzzyFileSearchResult,
    },
};

impl CasClient {
    /// Returns access to the files of the machine on which the server runs. **No sandbox and no
    /// approval is involved**: the server reads, writes and removes whatever its user may.
    #[must_use]
    pub fn fs(&self) -> Files {
        Files {
            client: self.clone(),
        }
    }

    /// `fuzzyFileSearch`: finds the files below some directories whose paths match a query, the
    /// best match first. An empty query matches none.
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request).
    pub async fn search_files<P: AsRef<Path>>(
        &self,
        query: impl Into<String>,
        roots: impl IntoIterator<Item = P>,
    ) -> Result<Vec<FuzzyFileSearchResult>, Error> {
        let roots = roots
            .into_iter()
            .map(|root| root.as_ref().display().to_string());
        let params = FuzzyFileSearchParams::new(query, roots.collect::<Vec<_>>());
        Ok(self.request(params).await?.files)
    }
}

/// The files of the machine on which the server runs, outside of any sandbox; see
/// [`CasClient::fs`]. All paths are absolute paths on the server's machine.
///
/// # Errors
/// All methods return the errors of [`CasClient::request`], and [`Error::Rpc`] with the operating
/// system's message.
#[derive(Debug, Clone)]
pub struct Files {
    client: CasClient,
}

#[expect(
    clippy::missing_errors_doc,
    reason = "they are the same for all, and told above"
)]
impl Files {
    /// `fs/readFile`: returns the contents of a file.
    pub async fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, Error> {
        let params = FsReadFileParams::new(absolute(path.as_ref())?);
        let read = self.client.request(params).await?;
        STANDARD
            .decode(&read.data_base64)
            .map_err(|e| Error::Decode {
                method: "fs/readFile".to_owned(),
                raw: "".into(),
                reason: format!("dataBase64: {e}"),
            })
    }

    /// `fs/writeFile`: creates a file with these contents, or replaces the existing one.
    pub async fn write(
        &self,
        path: impl AsRef<Path>,
        contents: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let path = absolute(path.as_ref())?;
        let params = FsWriteFileParams::new(STANDARD.encode(contents), path);
        self.client.request(params).await.map(drop)
    }

    /// `fs/readDirectory`: lists the entries of a directory, not recursively.
    pub async fn list(&self, path: impl AsRef<Path>) -> Result<Vec<FsReadDirectoryEntry>, Error> {
        let params = FsReadDirectoryParams::new(absolute(path.as_ref())?);
        Ok(self.client.request(params).await?.entries)
    }

    /// `fs/createDirectory`: creates a directory and its parents.
    pub async fn create_dir_all(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let params = FsCreateDirectoryParams::new(absolute(path.as_ref())?).recursive(true);
        self.client.request(params).await.map(drop)
    }

    /// `fs/getMetadata`: returns the type of the file at a path, and when it was changed.
    pub async fn metadata(&self, path: impl AsRef<Path>) -> Result<FsGetMetadataResponse, Error> {
        let params = FsGetMetadataParams::new(absolute(path.as_ref())?);
        self.client.request(params).await
    }

    /// `fs/remove`: removes a file, or a directory that is empty.
    pub async fn remove(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let params = FsRemoveParams::new(absolute(path.as_ref())?);
        let params = params.recursive(false).force(false);
        self.client.request(params).await.map(drop)
    }

    /// `fs/remove`: removes a directory with everything in it.
    pub async fn remove_dir_all(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let params = FsRemoveParams::new(absolute(path.as_ref())?);
        let params = params.recursive(true).force(false);
        self.client.request(params).await.map(drop)
    }

    /// `fs/watch`: watches a file, which need not exist, or the direct entries of a directory.
    /// Changes are reported about 200 ms later; changes of the same moment are reported together.
    pub async fn watch(&self, path: impl AsRef<Path>) -> Result<Watch, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("cas-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = absolute(path.as_ref())?;
        let watch = Watch {
            events: self.client.events(Filter::all().method("fs/changed")),
            client: self.client.clone(),
            id,
        };
        self.client
            .request(FsWatchParams::new(watch.id.as_str(), path))
            .await?;
        Ok(watch)
    }
}

fn absolute(path: &Path) -> Result<AbsolutePathBuf, Error> {
    // The server may use the path rules of another system. The server refuses a path that is
    // relative in its own rules.
    match path.to_str() {
        Some(text) if !text.is_empty() => Ok(AbsolutePathBuf(text.to_owned())),
        _ => Err(Error::Invalid(format!(
            "the path {} can't be sent: it has to be absolute and UTF-8",
            path.display()
        ))),
    }
}

/// A stream of changes to a path; see [`Files::watch`]. Dropping it ends the watch.
pub struct Watch {
    client: CasClient,
    events: Events,
    id: String,
}

impl Watch {
    /// Returns the paths that changed next, or `None` at the end of the connection. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lagged`] where changes were dropped because they were read too slowly;
    /// [`Error::Closed`] when the connection ends.
    pub async fn next(&mut self) -> Option<Result<Vec<PathBuf>, Error>> {
        loop {
            let event = match self.events.next().await? {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            match event.get::<FsChangedNotification>() {
                Some(Ok(changed)) if changed.watch_id == self.id => {
                    let paths = changed.changed_paths.into_iter();
                    return Some(Ok(paths.map(|path| path.0.into()).collect()));
                }
                Some(Err(error)) => return Some(Err(error)),
                _ => {}
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let params = json!({"watchId": self.id}).to_string();
        let connection = self.client.connection();
        connection.send_hooked("fs/unwatch", &params, Box::new(|_| ()));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

//! The socket of a server that this program starts: its directory is safe, and nothing is left of
//! it afterwards.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustix::process::geteuid;

use super::{super::connect::Deadline, socket::connect, watchdog::Watchdog};
use crate::error::ConnectErrorKind as Kind;

/// Creates the directory of a socket if it does not exist, and returns the directory if it was
/// created. Refuses a directory where another user could put a socket of their own, and a path
/// where another server listens.
pub(crate) async fn prepare(path: &Path, deadline: Deadline) -> Result<Option<PathBuf>, Kind> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let unsafe_dir = |reason: String| Kind::Directory {
        dir: dir.to_owned(),
        reason,
    };
    let mut made = None;
    if !dir.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| unsafe_dir(format!("cannot be made: {e}")))?;
        made = Some(dir.to_owned());
    }
    let about = fs::metadata(dir).map_err(|e| unsafe_dir(format!("cannot be looked at: {e}")))?;
    if !about.is_dir() {
        return Err(unsafe_dir("is not a directory".into()));
    }
    let (uid, permissions) = (about.uid(), about.mode());
    if uid != geteuid().as_raw() && uid != 0 {
        return Err(unsafe_dir(format!("belongs to the user {uid}")));
    }
    let sticky = permissions & 0o1000 != 0;
    if permissions & 0o022 != 0 && !sticky {
        let reason =
            "may be written to by others, who could put a socket of theirs there; `chmod 700` it";
        return Err(unsafe_dir(reason.into()));
    }
    match deadline.within("the connection", connect(path)).await {
        Err(Kind::NoServer | Kind::Stale) => Ok(made),
        Ok(_) | Err(Kind::Silent { .. }) => Err(Kind::InUse),
        Err(kind) => Err(kind),
    }
}

/// Identifies one file and no other of the same name.
#[derive(PartialEq, Eq)]
struct FileId {
    device: u64,
    number: u64,
}

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self {
            device: about.dev(),
            number: about.ino(),
        })
    }
}

/// What belongs to a server besides its processes. Dropping it deletes what a killed server has
/// left.
pub(crate) struct Socket {
    watchdog: Option<Watchdog>,
    path: PathBuf,
    file: MadeFile,
    /// The directory, if it was created for the socket.
    dir: Option<PathBuf>,
}

/// The socket file as its server created it. Another server may have taken its place later.
#[derive(Clone)]
pub(crate) struct MadeFile(Arc<OnceLock<Option<FileId>>>);

impl MadeFile {
    /// Notes that the server has created its socket.
    pub(crate) fn note(&self, path: &Path) {
        let _ = self.0.set(FileId::of(path));
    }
}

impl Socket {
    /// The socket at `path` of the server with this process number. `dir` is the directory, if it
    /// was created for the socket.
    pub(crate) fn of_server(
        server: Option<u32>,
        path: &Path,
        dir: Option<PathBuf>,
    ) -> io::Result<Self> {
        Ok(Self {
            watchdog: Some(Watchdog::start(server, path, dir.as_deref())?),
            path: path.to_owned(),
            file: MadeFile(Arc::default()),
            dir,
        })
    }

    /// Where to note that the server has created its socket.
    pub(crate) fn made(&self) -> MadeFile {
        self.file.clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(self.watchdog.take()); // It would end whoever gets the server's number next.
        let id = self.file.0.get().and_then(Option::as_ref);
        if id.is_some() && FileId::of(&self.path).as_ref() == id {
            if let Ok(target) = fs::canonicalize(&self.path) {
                let _ = fs::remove_file(target);
            }
            let _ = fs::remove_file(&self.path);
        }
        if let Some(dir) = &self.dir {
            let _ = fs::remove_dir(dir); // It stays if something else is in it.
        }
    }
}

//! A server of our own that others may join: codex with a socket, which ends with the client like a child on stdio.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf, absolute},
    process::ExitStatus,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustix::process::geteuid;
use tokio::{
    io::{copy, sink},
    task::JoinHandle,
    time::timeout,
};

use super::{
    ConnectError, ConnectErrorKind as Kind, ConnectionKind, Deadline, Endpoint, Opened,
    connect::open_unix, unix, watchdog::Watchdog,
};
use crate::{
    Builder, CasClient, Error,
    client::connection_task::{AbortOnDrop, Peer},
    error::{CloseCause, CloseReason, SpawnError},
    rpc::Aside,
    transport::stdio::{Pipes, Process, Registry, Tail, find_codex},
};

impl Builder {
    /// Starts `codex app-server` with a Unix socket, so that others may join the sessions of this program: the user
    /// with `codex resume THREAD --remote unix://PATH`, other programs with [`connect_to`](Self::connect_to).
    ///
    /// `unix://` is the control socket of the `CODEX_HOME`, where a plain `codex` comes by itself. Only this user may
    /// use the socket. The directory of the socket is made if it is not there, with the mode 0700; one that others may
    /// write to is refused.
    ///
    /// The server ends with the client, as that of [`spawn`](Self::spawn) does, whoever else has joined it. Should this
    /// process be killed, a small helper, `/bin/sh`, ends the server.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// let client = cas_sdk::CasClient::builder().serve("unix:///run/user/1000/agent/codex.sock").await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As those of [`spawn`](Self::spawn). [`Error::Connect`] if the address is no Unix socket, its directory is not
    /// safe, another server listens there, or the server does not open its socket in time.
    pub async fn serve<E>(mut self, endpoint: E) -> Result<CasClient, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<ConnectError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        self.check_tools()?;
        let program = find_codex(self.launch.codex.as_deref())?;
        let deadline = Deadline::new(self.handshake_timeout);
        let home = self.codex_home();
        let Some(path) = endpoint.socket(home.as_deref())? else {
            let text = "a server is started on a Unix socket only, as in unix:///run/codex.sock";
            return Err(endpoint.error(Kind::InvalidAddress(text.into())).into());
        };
        // The server may have another working directory.
        let path = absolute(path).map_err(|e| endpoint.error(e.into()))?;
        let made = prepare(&path, deadline)
            .await
            .map_err(|kind| endpoint.error(kind))?;
        self.launch.args.push("--listen".into());
        let mut address = std::ffi::OsString::from("unix://");
        address.push(&path);
        self.launch.args.push(address);
        let registry = match &self.registry {
            Some(dir) => Some(Registry::open(dir, self.grace).await?),
            None => None,
        };
        let (mut process, pipes) = Process::spawn(&program, &self.launch)?;
        let watchdog = Watchdog::start(process.id(), &path, made.as_deref());
        let id = Arc::new(OnceLock::new());
        process.listens(Socket {
            watchdog: Some(watchdog.map_err(|source| SpawnError::Io {
                program: "/bin/sh".into(),
                source: Arc::new(source),
            })?),
            path: path.clone(),
            id: id.clone(),
            made,
        });
        if let Some(registry) = &registry {
            process.register(registry)?;
        }
        let mut output = AbortOnDrop(drain(process.stderr.clone(), pipes));
        let opened = match open(&endpoint, &path, &mut process, deadline).await {
            Ok(opened) => opened,
            Err(NotOpen::Ended(status)) => {
                process.end_rest(self.grace).await;
                let _ = timeout(LAST_WORDS, &mut output.0).await;
                let stderr_tail = process.stderr.text();
                if stderr_tail.contains("socket is already in use") {
                    return Err(endpoint.error(Kind::InUse).into());
                }
                let reason = Arc::new(CloseReason {
                    status,
                    stderr_tail,
                    ..CloseReason::new(CloseCause::Exited)
                });
                return Err(SpawnError::Exited { program, reason }.into());
            }
            Err(NotOpen::Failed(kind)) => {
                process.stop(self.grace).await;
                return Err(endpoint.error(kind).into());
            }
        };
        let _ = id.set(FileId::of(&path));
        let pid = process.id();
        let peer = Peer::Listener(Box::new(process), output);
        let kind = ConnectionKind::Served {
            address: Endpoint::unix(path).to_string(),
        };
        self.greet(&endpoint, opened, peer, pid, kind, deadline)
            .await
    }
}

enum NotOpen {
    Ended(Option<ExitStatus>),
    Failed(Kind),
}

/// Waits until the server has opened its socket.
async fn open(
    endpoint: &Endpoint,
    path: &Path,
    process: &mut Process,
    deadline: Deadline,
) -> Result<Opened, NotOpen> {
    let connected = loop {
        // What is there may be another server that was faster; then the child is about to end.
        match unix::connect(path).await {
            Ok(connected) if connected.pid.is_none_or(|pid| process.includes(pid)) => {
                break connected;
            }
            Ok(_) | Err(Kind::NoServer | Kind::Stale) => {}
            Err(kind) => return Err(NotOpen::Failed(kind)),
        }
        if deadline.left().is_zero() {
            return Err(NotOpen::Failed(deadline.passed("the server's socket")));
        }
        if let Ok(status) = timeout(POLL, process.wait()).await {
            return Err(NotOpen::Ended(status));
        }
    };
    open_unix(endpoint, connected, deadline)
        .await
        .map_err(NotOpen::Failed)
}

/// How often it is looked whether the socket is there.
const POLL: Duration = Duration::from_millis(20);

/// How long what the server has written before its end may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Reads what the server writes. Its answers come over the socket, so its output is of no use.
fn drain(tail: Arc<Tail>, pipes: Pipes) -> JoinHandle<()> {
    let Pipes {
        mut stdout, stderr, ..
    } = pipes;
    tokio::spawn(async move {
        let aside = Aside::new();
        let (mut nowhere, both) = (sink(), tail.drain(stderr, &aside));
        let _ = tokio::join!(both, copy(&mut stdout, &mut nowhere));
    })
}

/// Sees to it that a socket can be made, and that nobody listens there yet. Returns the directory if it was made.
async fn prepare(path: &Path, deadline: Deadline) -> Result<Option<PathBuf>, Kind> {
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
    match deadline.within("the connection", unix::connect(path)).await {
        Err(Kind::NoServer | Kind::Stale) => Ok(made),
        Ok(_) | Err(Kind::Silent { .. }) => Err(Kind::InUse),
        Err(kind) => Err(kind),
    }
}

/// A file and no other of the same name.
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

/// What belongs to the server beside its processes. Its drop takes away what a server that was killed has left.
struct Socket {
    watchdog: Option<Watchdog>,
    path: PathBuf,
    /// The socket as the server made it; another server may have taken its place.
    id: Arc<OnceLock<Option<FileId>>>,
    /// The directory, if it was made for the socket.
    made: Option<PathBuf>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(self.watchdog.take()); // It would end whoever gets the server's number next.
        let id = self.id.get().and_then(Option::as_ref);
        if id.is_some() && FileId::of(&self.path).as_ref() == id {
            if let Ok(target) = fs::canonicalize(&self.path) {
                let _ = fs::remove_file(target);
            }
            let _ = fs::remove_file(&self.path);
        }
        if let Some(dir) = &self.made {
            let _ = fs::remove_dir(dir); // It stays if something else is in it.
        }
    }
}

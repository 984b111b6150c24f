//! Starts a server that others may join: codex with a socket, which ends with the client like a
//! child on stdio.

use std::{
    path::{Path, absolute},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{copy, sink},
    task::JoinHandle,
    time::timeout,
};

use super::{
    builder::Builder,
    connection_task::{AbortOnDrop, Peer},
    handle::CasClient,
};
use crate::{
    error::{CloseCause, CloseReason, ConnectErrorKind as Kind, Error, SpawnError},
    rpc::Aside,
    transport::{
        ConnectionKind, Deadline, Endpoint, Opened, open_unix,
        stdio::{Pipes, Process, Registry, Tail, find_codex},
        unix::{self, Socket},
    },
};

impl Builder {
    /// Starts the server that listens at `endpoint`, and joins it.
    pub(super) async fn serve_at(mut self, endpoint: Endpoint) -> Result<CasClient, Error> {
        let program = find_codex(self.launch.codex.as_deref())?;
        let deadline = Deadline::new(self.handshake_timeout);
        let home = self.codex_home();
        let Some(path) = endpoint.socket(home.as_deref())? else {
            let text = "a server is started on a Unix socket only, as in unix:///run/codex.sock";
            return Err(endpoint.error(Kind::InvalidAddress(text.into())).into());
        };
        // The server may have another working directory.
        let path = absolute(path).map_err(|e| endpoint.error(e.into()))?;
        let dir = unix::prepare(&path, deadline)
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
        let socket =
            Socket::of_server(process.id(), &path, dir).map_err(|source| SpawnError::Io {
                program: "/bin/sh".into(),
                source: Arc::new(source),
            })?;
        let made = socket.made();
        process.listens(socket);
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
        made.note(&path);
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
        // The socket may belong to another server that was faster. Then the child is about to exit.
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

/// How often to check whether the socket exists.
const POLL: Duration = Duration::from_millis(20);

/// How long reading the server's final output may take after the server has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Drains the pipes of the server: keeps the tail of its stderr and discards its stdout, because
/// responses come over the socket.
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

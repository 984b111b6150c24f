//! A Unix socket between a client and its server, whose connections can be cut and muted.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::{AbortHandle, JoinSet},
};

/// Passes on all that is said between clients and a server.
pub(crate) struct Cut {
    pub(crate) address: String,
    state: Arc<State>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct State {
    connections: Mutex<Vec<AbortHandle>>,
    /// What the server says is lost.
    mute: AtomicBool,
    /// What clients say is lost.
    deaf: AtomicBool,
    closed: AtomicBool,
    /// What was lost since the last cut.
    lost: Mutex<Vec<u8>>,
}

impl Cut {
    /// Listens beside a server's socket.
    pub(crate) fn before(server: &Path) -> Self {
        let path = server.with_extension("cut");
        let listener = UnixListener::bind(&path).unwrap();
        let (state, server) = (Arc::<State>::default(), server.to_owned());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, state.clone()));
        Self {
            address: format!("unix://{}", path.display()),
            state,
            _accepting: accepting,
        }
    }

    /// Ends all connections at once.
    pub(crate) fn cut(&self) {
        let mut connections = self.state.connections.lock().unwrap();
        connections.drain(..).for_each(|task| task.abort());
        self.state.mute.store(false, Ordering::SeqCst);
        self.state.deaf.store(false, Ordering::SeqCst);
        self.state.lost.lock().unwrap().clear();
    }

    /// Whether this is in what was lost since the last cut. What clients say is masked.
    pub(crate) fn has_lost(&self, text: &str) -> bool {
        memchr::memmem::find(&self.state.lost.lock().unwrap(), text.as_bytes()).is_some()
    }

    /// Whether anything was lost since the last cut.
    pub(crate) fn has_lost_something(&self) -> bool {
        !self.state.lost.lock().unwrap().is_empty()
    }

    /// Whether no connection is left.
    pub(crate) fn is_idle(&self) -> bool {
        let connections = self.state.connections.lock().unwrap();
        connections.iter().all(AbortHandle::is_finished)
    }

    /// Loses what the server says, until the next cut.
    pub(crate) fn mute(&self) {
        self.state.mute.store(true, Ordering::SeqCst);
    }

    /// Loses what clients say, until the next cut.
    pub(crate) fn deafen(&self) {
        self.state.deaf.store(true, Ordering::SeqCst);
    }

    /// Ends every new connection at once, or no longer.
    pub(crate) fn close(&self, closed: bool) {
        self.state.closed.store(closed, Ordering::SeqCst);
    }
}

async fn accept(listener: UnixListener, server: PathBuf, state: Arc<State>) {
    let mut tasks = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if state.closed.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(server) = UnixStream::connect(&server).await else {
            continue;
        };
        let pass = pass(client, server, state.clone());
        let task = tasks.spawn(pass);
        state.connections.lock().unwrap().push(task);
    }
}

async fn pass(client: UnixStream, server: UnixStream, state: Arc<State>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, &state.deaf, &state.lost) => {}
        () = copy(from_server, to_client, &state.mute, &state.lost) => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    loses: &AtomicBool,
    lost: &Mutex<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if loses.load(Ordering::SeqCst) {
            lost.lock().unwrap().extend_from_slice(&buffer[..n]);
        } else if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

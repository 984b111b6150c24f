//! From an address to two streams of JSON lines, within one deadline.

use std::{path::Path, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, split},
    time::{Instant, timeout_at},
};

#[cfg(unix)]
use super::unix::{self, Connected};
use super::{
    endpoint::{Endpoint, Place, Tcp},
    tcp, tls,
    upgrade::upgrade,
    websocket::{Reader, Side, Writer, pair},
};
use crate::error::{ConnectError, ConnectErrorKind as Kind};

/// An open connection, before `initialize`.
pub(crate) struct Opened {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// The server's process, if the platform reports it.
    pub(crate) pid: Option<u32>,
}

/// The deadline for all steps of a handshake together.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    /// `None` if the deadline is beyond the range of the clock.
    at: Option<Instant>,
    after: Duration,
}

impl Deadline {
    pub(crate) fn new(after: Duration) -> Self {
        Self {
            at: Instant::now().checked_add(after),
            after,
        }
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        let left = |at: Instant| at.saturating_duration_since(Instant::now());
        self.at.map_or(Duration::MAX, left)
    }

    /// The error for a deadline that has passed.
    pub(crate) fn passed(&self, waiting_for: &'static str) -> Kind {
        Kind::Silent {
            after: self.after,
            waiting_for,
        }
    }

    pub(crate) async fn within<T>(
        &self,
        waiting_for: &'static str,
        step: impl Future<Output = Result<T, Kind>>,
    ) -> Result<T, Kind> {
        let Some(at) = self.at else {
            return step.await;
        };
        timeout_at(at, step)
            .await
            .unwrap_or_else(|_| Err(self.passed(waiting_for)))
    }
}

/// Opens a connection. `unix://` is the control socket of `home`, or else of this process's
/// `CODEX_HOME`.
pub(crate) async fn open(
    endpoint: &Endpoint,
    home: Option<&Path>,
    deadline: Deadline,
) -> Result<Opened, ConnectError> {
    let opened = match &endpoint.place {
        Place::Tcp(tcp) => open_tcp(endpoint, tcp, deadline).await,
        #[cfg(unix)]
        Place::ControlSocket | Place::Unix(_) => {
            let path = endpoint.socket(home)?.unwrap_or_default();
            let connected = deadline
                .within("the connection", unix::connect(&path))
                .await;
            match connected {
                Ok(connected) => open_unix(endpoint, connected, deadline).await,
                Err(kind) => Err(kind),
            }
        }
        #[cfg(not(unix))]
        Place::ControlSocket | Place::Unix(_) => {
            endpoint.socket(home)?;
            Err(Kind::Unsupported(NO_SOCKETS))
        }
    };
    opened.map_err(|kind| endpoint.error(kind))
}

/// The error text for a platform where Rust has no Unix sockets.
#[cfg(not(unix))]
pub(crate) const NO_SOCKETS: &str = "Unix sockets can't be used on this platform; start the server with `--listen ws://IP:PORT` and use that address";

/// Opens a connection on a connected socket.
#[cfg(unix)]
pub(crate) async fn open_unix(
    endpoint: &Endpoint,
    connected: Connected,
    deadline: Deadline,
) -> Result<Opened, Kind> {
    let Connected { mut stream, pid } = connected;
    let early = handshake(endpoint, &mut stream, "localhost", "/", deadline).await?;
    let (read, write) = stream.into_split();
    let (reader, writer) = pair(Side::Client, read, write, early, endpoint.ping_every);
    Ok(Opened {
        reader,
        writer,
        pid,
    })
}

async fn open_tcp(endpoint: &Endpoint, to: &Tcp, deadline: Deadline) -> Result<Opened, Kind> {
    let has_token = endpoint.auth.is_some();
    let connect = tcp::connect(to, has_token);
    let mut stream = deadline.within("the TCP connection", connect).await?;
    let (authority, path) = (to.authority(), to.path.as_str());
    let (reader, writer) = if to.tls {
        let connect = async {
            let config = tls::config(endpoint.authorities.clone()).await?;
            tls::connect(config, &to.host, stream).await
        };
        let mut stream = deadline
            .within("the answer to the TLS handshake", connect)
            .await?;
        let early = handshake(endpoint, &mut stream, &authority, path, deadline).await?;
        let (read, write) = split(stream);
        pair(Side::Client, read, write, early, endpoint.ping_every)
    } else {
        let early = handshake(endpoint, &mut stream, &authority, path, deadline).await?;
        let (read, write) = stream.into_split();
        pair(Side::Client, read, write, early, endpoint.ping_every)
    };
    Ok(Opened {
        reader,
        writer,
        pid: None,
    })
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &Endpoint,
    stream: &mut S,
    host: &str,
    path: &str,
    deadline: Deadline,
) -> Result<BytesMut, Kind> {
    let token = match &endpoint.auth {
        Some(auth) => Some(auth.bearer().map_err(Kind::Token)?),
        None => None,
    };
    let upgrade = upgrade(stream, host, path, token.as_ref());
    deadline
        .within("the answer to the WebSocket handshake", upgrade)
        .await
}

//! From an address to two streams of JSON lines, within one deadline; and the builder's door to it.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, split},
    time::{Instant, timeout_at},
};

use super::{
    ConnectError, ConnectErrorKind as Kind, ConnectionKind, Endpoint,
    endpoint::{Place, Tcp},
    tcp, tls,
    unix::{self, Connected},
    upgrade::upgrade,
    websocket::{Reader, Role, Writer, pair},
};
use crate::{Builder, CasClient, Error, client::connection_task::Peer};

/// A connection that is open, up to and without `initialize`.
pub(crate) struct Opened {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// The server's process, where the system tells.
    pub(crate) pid: Option<u32>,
}

/// One deadline for all steps of a handshake.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    pub(crate) fn new(after: Duration) -> Self {
        Self {
            at: Instant::now() + after,
            after,
        }
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// What is told when it has passed.
    pub(crate) fn passed(&self, waiting_for: &'static str) -> Kind {
        Kind::Silent {
            after: self.after,
            waiting_for,
        }
    }

    pub(super) async fn within<T>(
        &self,
        waiting_for: &'static str,
        step: impl Future<Output = Result<T, Kind>>,
    ) -> Result<T, Kind> {
        timeout_at(self.at, step)
            .await
            .unwrap_or_else(|_| Err(self.passed(waiting_for)))
    }
}

/// Opens a connection. `home` is the `CODEX_HOME` whose control socket `unix://` means, if not this process's.
pub(crate) async fn open(
    endpoint: &Endpoint,
    home: Option<&Path>,
    deadline: Deadline,
) -> Result<Opened, ConnectError> {
    let opened = match &endpoint.place {
        Place::Tcp(tcp) => open_tcp(endpoint, tcp, deadline).await,
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
    };
    opened.map_err(|kind| endpoint.error(kind))
}

/// The rest of the way on a socket that is connected.
pub(super) async fn open_unix(
    endpoint: &Endpoint,
    connected: Connected,
    deadline: Deadline,
) -> Result<Opened, Kind> {
    let Connected { mut stream, pid } = connected;
    let early = handshake(endpoint, &mut stream, "localhost", "/", deadline).await?;
    let (read, write) = stream.into_split();
    let (reader, writer) = pair(Role::Client, read, write, early, endpoint.ping_every);
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
        pair(Role::Client, read, write, early, endpoint.ping_every)
    } else {
        let early = handshake(endpoint, &mut stream, &authority, path, deadline).await?;
        let (read, write) = stream.into_split();
        pair(Role::Client, read, write, early, endpoint.ping_every)
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

impl Builder {
    /// Joins a server that somebody else runs, and does the handshake: the one behind a plain `codex` (`unix://`), or
    /// any `codex app-server --listen`. What would start a server, such as [`codex`](Self::codex), has no effect,
    /// except that a `CODEX_HOME` among the [environment](Self::env) says whose control socket `unix://` is.
    ///
    /// The server outlives the client: [`CasClient::shutdown`] and the drop of the last clone end the connection only.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// let client = cas_sdk::CasClient::builder().connect_to("unix://").await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Connect`] if the address is wrong, nobody listens there, or the server lets nobody in;
    /// [`Error::Handshake`] if it does not answer `initialize` as it should; [`Error::Invalid`] for a tool that the
    /// server would refuse. All of it within the [`handshake_timeout`](Self::handshake_timeout).
    pub async fn connect_to<E>(self, endpoint: E) -> Result<CasClient, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<ConnectError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        self.check_tools()?;
        let deadline = Deadline::new(self.handshake_timeout);
        let home = self.codex_home();
        let opened = open(&endpoint, home.as_deref(), deadline).await?;
        let kind = ConnectionKind::Joined {
            address: endpoint.to_string(),
        };
        self.greet(&endpoint, opened, Peer::Foreign, None, kind, deadline)
            .await
    }

    /// `initialize` on an open connection, and the look at the server's version.
    pub(super) async fn greet(
        mut self,
        endpoint: &Endpoint,
        opened: Opened,
        peer: Peer,
        pid: Option<u32>,
        kind: ConnectionKind,
        deadline: Deadline,
    ) -> Result<CasClient, Error> {
        self.handshake_timeout = deadline.left();
        let Opened { reader, writer, .. } = opened;
        let client = Box::pin(self.start(reader, writer, peer, pid, kind))
            .await
            .map_err(|error| Error::Handshake(Arc::new(error)))?;
        let version = client.server().and_then(|server| server.version());
        if let Some(version) = version.filter(|v| is_old(v) && !endpoint.any_version) {
            let kind = Kind::OldServer {
                version: version.to_owned(),
                oldest: OLDEST,
            };
            client.shutdown().await;
            return Err(endpoint.error(kind).into());
        }
        Ok(client)
    }
}

/// The oldest server that this crate was tested with.
const OLDEST: &str = "0.169.0";

/// Whether a server is older than [`OLDEST`]. What codex builds of its sources has the version 0.0.0, and may be new.
fn is_old(version: &str) -> bool {
    let number = |version: &str| -> Option<[u32; 3]> {
        let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().ok());
        Some([parts.next()??, parts.next()??, parts.next()??])
    };
    let [version, oldest] = [version, OLDEST].map(number);
    version.is_some_and(|version| version != [0; 3] && Some(version) < oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_old_by_its_numbers_and_not_by_its_text() {
        for old in ["0.168.9", "0.99.0", "0.9.200", "0.168.0-alpha.1"] {
            assert!(is_old(old), "{old}");
        }
        for new in [
            "0.169.0",
            "0.171.0",
            "0.1000.0",
            "1.0.0",
            "0.0.0",
            "0.169.0-alpha.3",
            "odd",
            "",
        ] {
            assert!(!is_old(new), "{new}");
        }
    }
}

//! Clients over sockets: for a server that somebody else runs, and for a server that others may
//! join.

use std::sync::Arc;

use super::{builder::Builder, connection_task::Peer, handle::CasClient};
use crate::{
    error::{ConnectError, ConnectErrorKind as Kind, Error},
    transport::{ConnectionKind, Deadline, Endpoint, Opened, open},
};

impl Builder {
    /// Joins a server that somebody else runs, and does the handshake. The server is the one behind
    /// a plain `codex` (`unix://`), or any `codex app-server --listen`. Settings for starting a
    /// server, such as [`codex`](Self::codex), have no effect, with one exception: a `CODEX_HOME`
    /// in the [environment](Self::env) says whose control socket `unix://` is.
    ///
    /// The server outlives the client: [`CasClient::shutdown`] and dropping the last clone end only
    /// the connection.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// let client = cas_sdk::CasClient::builder().connect_to("unix://").await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Connect`] if the address is wrong, nobody listens there, or the server refuses the
    /// connection; [`Error::Handshake`] if the server does not answer `initialize` as it should;
    /// [`Error::Invalid`] for a tool that the server would refuse. All steps together are bounded
    /// by the [`handshake_timeout`](Self::handshake_timeout).
    pub async fn connect_to<E>(self, endpoint: E) -> Result<CasClient, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<ConnectError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        self.handlers.tools.check()?;
        let deadline = Deadline::new(self.handshake_timeout);
        let home = self.codex_home();
        let opened = open(&endpoint, home.as_deref(), deadline).await?;
        let kind = ConnectionKind::Joined {
            address: endpoint.to_string(),
        };
        self.greet(&endpoint, opened, Peer::Foreign, None, kind, deadline)
            .await
    }

    /// Starts `codex app-server` with a Unix socket, so that others may join the sessions of this
    /// program: the user with `codex resume THREAD --remote unix://PATH`, other programs with
    /// [`connect_to`](Self::connect_to).
    ///
    /// `unix://` is the control socket of the `CODEX_HOME`, which a plain `codex` joins by itself.
    /// Only this user may use the socket. The directory of the socket is created with mode 0700 if
    /// it does not exist; a directory that others may write to is refused.
    ///
    /// The server ends with the client, like a server from [`spawn`](Self::spawn), even if others
    /// have joined it. If this process is killed, a small helper, `/bin/sh`, ends the server.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// let client = cas_sdk::CasClient::builder().serve("unix:///run/user/1000/agent/codex.sock").await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same errors as [`spawn`](Self::spawn), and [`Error::Connect`] if the address is not a Unix
    /// socket, its directory is not safe, another server listens there, the server does not open
    /// its socket in time, or this platform has no Unix sockets, as on Windows.
    pub async fn serve<E>(self, endpoint: E) -> Result<CasClient, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<ConnectError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        self.handlers.tools.check()?;
        #[cfg(unix)]
        return self.serve_at(endpoint).await;
        #[cfg(not(unix))]
        Err(endpoint
            .error(Kind::Unsupported(crate::transport::NO_SOCKETS))
            .into())
    }

    /// Sends `initialize` on an open connection, and checks the server's version.
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

/// Whether a server is older than [`OLDEST`]. A codex built from source has the version 0.0.0, and
/// may be new.
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

//! Where the next connection comes from: a server that is started, or one that is joined.

use crate::{
    Builder, CasClient,
    error::{ConnectError, ConnectErrorKind, Error},
};
#[cfg(feature = "ws")]
use crate::{client::ServerInfo, transport::Endpoint};

pub(super) enum Source {
    /// A server of our own, started anew each time.
    Start(Box<Builder>),
    /// A server that somebody else runs.
    #[cfg(feature = "ws")]
    Join {
        builder: Box<Builder>,
        endpoint: Box<Endpoint>,
        /// What the server of the first connection said about itself.
        first: Option<ServerInfo>,
    },
}

impl Source {
    pub(super) async fn connect(&mut self) -> Result<CasClient, Error> {
        match self {
            Self::Start(builder) => Box::pin(builder.clone().spawn()).await,
            #[cfg(feature = "ws")]
            Self::Join {
                builder,
                endpoint,
                first,
            } => {
                let joined = (**builder).clone().connect_to((**endpoint).clone());
                let client = Box::pin(joined).await?;
                let Some(first) = first else {
                    *first = client.server().cloned();
                    return Ok(client);
                };
                let Some(other) = other(first, &client, endpoint.any_version) else {
                    return Ok(client);
                };
                client.shutdown().await;
                Err(endpoint.error(other).into())
            }
        }
    }

    /// Whether waiting for another attempt is pointless.
    pub(super) fn is_final(error: &Error) -> bool {
        let Error::Connect(ConnectError { kind, .. }) = error else {
            return false;
        };
        matches!(
            kind,
            ConnectErrorKind::OtherServer { .. } | ConnectErrorKind::OldServer { .. }
        )
    }
}

/// Why this is not the server of the first connection.
#[cfg(feature = "ws")]
fn other(first: &ServerInfo, client: &CasClient, any_version: bool) -> Option<ConnectErrorKind> {
    let now = client.server()?;
    let differ = |what, was: &str, is: &str| {
        (was != is).then(|| ConnectErrorKind::OtherServer {
            what,
            was: was.to_owned(),
            is: is.to_owned(),
        })
    };
    let version = |info: &ServerInfo| info.version().unwrap_or_default().to_owned();
    differ("home", &first.codex_home, &now.codex_home)
        .or_else(|| differ("version", &version(first), &version(now)).filter(|_| !any_version))
}

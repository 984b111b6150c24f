//! A TCP connection for `ws://` and `wss://`.

use std::io::ErrorKind;

use tokio::net::{TcpStream, lookup_host};

use super::endpoint::Tcp;
use crate::error::ConnectErrorKind as Kind;

/// Connects to the first of the host's addresses that answers.
pub(super) async fn connect(to: &Tcp, has_token: bool) -> Result<TcpStream, Kind> {
    let token_in_the_clear = has_token && !to.tls;
    if token_in_the_clear && !to.is_local() {
        return Err(exposed());
    }
    let host = to.host.as_str();
    let unknown =
        |reason: String| Kind::UnknownHost(format!("the host {host} is not known: {reason}"));
    let addresses = lookup_host((host, to.port))
        .await
        .map_err(|e| unknown(e.to_string()))?;
    let mut last = None;
    for address in addresses {
        // The name `localhost` counts by the address that the resolver returns for it.
        if token_in_the_clear && !address.ip().to_canonical().is_loopback() {
            return Err(exposed());
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?; // Messages are whole when they are written.
                return Ok(stream);
            }
            Err(e) => last = Some(e),
        }
    }
    Err(match last {
        None => unknown("it has no address".to_owned()),
        Some(e) if e.kind() == ErrorKind::ConnectionRefused => Kind::Refused,
        Some(e) => e.into(),
    })
}

fn exposed() -> Kind {
    Kind::Token(
        "a token goes only over wss://, a Unix socket or to this machine, for over ws:// anybody on the way reads it"
            .to_owned(),
    )
}

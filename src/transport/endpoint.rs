//! The address of a listening server, and what it takes to connect: `unix://`, `unix://PATH`,
//! `ws://` and `wss://`.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::auth::Auth;
use crate::error::{ConnectError, ConnectErrorKind as Kind};

/// The address of a listening server, with the token to send to it, if any.
///
/// | address | server |
/// |---|---|
/// | `unix://` | the control socket of the `CODEX_HOME`, which a plain `codex` listens on |
/// | `unix://PATH` | `codex app-server --listen unix://PATH` |
/// | `ws://HOST:PORT` | `codex app-server --listen ws://IP:PORT` |
/// | `wss://HOST[:PORT]` | the same behind TLS; port 443 unless given |
///
/// No connection falls back to another address or to another kind of transport. Windows has no
/// `unix://`.
///
/// ```
/// use cas_sdk::live::{Auth, Endpoint};
/// # fn main() -> Result<(), cas_sdk::error::ConnectError> {
/// let own: Endpoint = "unix:///run/user/1000/agent.sock".parse()?;
/// let far = "wss://codex.example.org".parse::<Endpoint>()?.auth(Auth::token_file("/run/secrets/codex"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Endpoint {
    pub(super) place: Place,
    pub(super) auth: Option<Auth>,
    pub(super) authorities: Option<PathBuf>,
    pub(crate) any_version: bool,
    pub(super) ping_every: Duration,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `app-server-control/app-server-control.sock` below the `CODEX_HOME`.
    ControlSocket,
    Unix(PathBuf),
    Tcp(Tcp),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) tls: bool,
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Begins with a slash.
    pub(super) path: String,
}

impl Endpoint {
    /// The control socket of the `CODEX_HOME`: the builder's if its environment has one, else this
    /// process's.
    #[must_use]
    pub fn control_socket() -> Self {
        Self::at(Place::ControlSocket)
    }

    /// A Unix socket by its path, which may be a link.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Unix(path.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            auth: None,
            authorities: None,
            any_version: false,
            ping_every: Duration::from_secs(20),
        }
    }

    /// Authenticates with a token. The token is sent over `wss://`, over a Unix socket or to this
    /// machine, and nowhere else.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Trusts the certificate authorities in this PEM file, and only those. Default: those of the
    /// system.
    #[must_use]
    pub fn certificate_authorities(mut self, pem: impl Into<PathBuf>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Accepts a server that is older than this crate supports, and, after a supervised connection
    /// was lost, a server of another version than before. Default: such a server is an error.
    #[must_use]
    pub fn any_version(mut self) -> Self {
        self.any_version = true;
        self
    }

    /// Pings the server when the connection has been silent for this long. A ping that gets no
    /// answer for as long ends the connection. Default: 20 s.
    #[must_use]
    pub fn ping_every(mut self, pause: Duration) -> Self {
        self.ping_every = pause.max(Duration::from_millis(10));
        self
    }

    /// The path of the socket, if this is a Unix socket. `home` is the `CODEX_HOME` for the control
    /// socket.
    pub(crate) fn socket(&self, home: Option<&Path>) -> Result<Option<PathBuf>, ConnectError> {
        match &self.place {
            Place::Unix(path) => Ok(Some(path.clone())),
            Place::ControlSocket => match home.map(Path::to_owned).or_else(codex_home) {
                Some(home) => Ok(Some(control_socket(&home))),
                None => Err(self.error(Kind::InvalidAddress(
                    "CODEX_HOME is not set and this user has no home directory, so the control socket has no path".into(),
                ))),
            },
            Place::Tcp(_) => Ok(None),
        }
    }

    pub(crate) fn error(&self, kind: Kind) -> ConnectError {
        ConnectError {
            address: self.to_string(),
            kind,
        }
    }
}

/// The path of the control socket of a `CODEX_HOME`.
pub(crate) fn control_socket(home: &Path) -> PathBuf {
    home.join("app-server-control/app-server-control.sock")
}

/// The `CODEX_HOME` of this process.
pub(crate) fn codex_home() -> Option<PathBuf> {
    let set = std::env::var_os("CODEX_HOME").filter(|value| !value.is_empty());
    set.map(PathBuf::from).or_else(|| {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        home.map(|home| home.join(".codex"))
    })
}

impl Tcp {
    /// Whether the address is on this machine, so that a token may be sent there in the clear.
    pub(super) fn is_local(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// `HOST:PORT`, with the brackets of IPv6.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

impl FromStr for Endpoint {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let invalid = |reason: &str| ConnectError {
            address: shown(text),
            kind: Kind::InvalidAddress(reason.to_owned()),
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(invalid(
                "an address begins with unix://, ws:// or wss://, as in unix:///run/codex.sock",
            ));
        };
        let tls = match scheme {
            "unix" if rest.is_empty() => return Ok(Self::control_socket()),
            "unix" if rest.contains('\0') => return Err(invalid("a path has no zero bytes")),
            "unix" => return Ok(Self::unix(rest)),
            "ws" => false,
            "wss" => true,
            "http" | "https" => return Err(invalid("use ws:// or wss:// instead")),
            "stdio" => return Err(invalid("a server on stdio is started with `spawn`")),
            _ => return Err(invalid("only unix://, ws:// and wss:// are known")),
        };
        Tcp::parse(tls, rest)
            .map(|tcp| Self::at(Place::Tcp(tcp)))
            .map_err(invalid)
    }
}

impl Tcp {
    fn parse(tls: bool, rest: &str) -> Result<Self, &'static str> {
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err(
                "a token or a password does not belong into an address; use `Endpoint::auth`",
            );
        }
        if rest.contains(['?', '#']) {
            return Err(
                "an address has no query and no fragment; a token goes into `Endpoint::auth`",
            );
        }
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the path may only have visible ASCII characters");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6
                    .split_once(']')
                    .ok_or("the bracket of the host is not closed")?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| "there is no IPv6 address in the brackets")?;
                let port = match port.strip_prefix(':') {
                    None if port.is_empty() => None,
                    None => return Err("after the host comes a colon and the port"),
                    port => port,
                };
                (host, port)
            }
            None => match authority.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err("an IPv6 address stands in brackets, as in ws://[::1]:8080");
                }
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err("the host is missing");
        }
        if !host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b))
        {
            return Err("the host has characters that no name has");
        }
        let port = match port {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                match port.parse().unwrap_or_default() {
                    0 => return Err("the port is a number from 1 to 65535"),
                    port => port,
                }
            }
            Some(_) => return Err("the port is a number from 1 to 65535"),
            None if tls => 443,
            None => return Err("the port is missing, as in ws://127.0.0.1:8080"),
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        })
    }
}

/// Shows an address, which may be malformed in any way, without any part that may be a secret.
fn shown(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let start = text.find("://").map_or(0, |scheme| scheme + 3);
    let (mut shown, rest) = (text[..end].to_owned(), &text[end..]);
    if rest.contains('@') {
        // What looks like a query may be part of a password.
        shown.replace_range(start.min(end).., "…");
    } else if let Some(at) = shown.rfind('@') {
        shown.replace_range(start.min(at)..at, "…");
    }
    shown
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

impl TryFrom<&str> for Endpoint {
    type Error = ConnectError;

    fn try_from(text: &str) -> Result<Self, ConnectError> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = ConnectError;

    fn try_from(text: String) -> Result<Self, ConnectError> {
        text.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = ConnectError;

    fn try_from(text: &String) -> Result<Self, ConnectError> {
        text.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::ControlSocket => f.write_str("unix://"),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
            Place::Tcp(tcp) => {
                let scheme = if tcp.tls { "wss" } else { "ws" };
                let path = tcp.path.strip_suffix('/').unwrap_or(&tcp.path);
                write!(f, "{scheme}://{}{path}", tcp.authority())
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &format_args!("{self}"))
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_was_written() {
        for text in [
            "unix://",
            "unix:///run/codex.sock",
            "unix://relative/codex.sock",
            "ws://127.0.0.1:8080",
            "ws://[::1]:8080/base",
            "wss://codex.example.org:443",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let short: Endpoint = "wss://codex.example.org".parse().unwrap();
        assert_eq!(short.to_string(), "wss://codex.example.org:443");
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "begins with"),
            ("/run/codex.sock", "begins with"),
            ("unix:/run/codex.sock", "begins with"),
            ("http://127.0.0.1:1", "ws:// or wss://"),
            ("stdio://", "spawn"),
            ("ftp://x:1", "only unix://"),
            ("WS://127.0.0.1:1", "only unix://"),
            ("ws://", "host is missing"),
            ("ws://:80", "host is missing"),
            ("ws://127.0.0.1", "port is missing"),
            ("ws://127.0.0.1:", "1 to 65535"),
            ("ws://127.0.0.1:0", "1 to 65535"),
            ("ws://127.0.0.1:65536", "1 to 65535"),
            ("ws://127.0.0.1:+80", "1 to 65535"),
            ("ws://::1:80", "in brackets"),
            ("ws://[::1:80", "not closed"),
            ("ws://[::1]80", "colon"),
            ("ws://[x]:80", "no IPv6"),
            ("ws://a b:80", "characters"),
            ("ws://a:80/x y", "visible"),
            ("ws://a:80/\r\nX: y", "visible"),
            ("ws://a:80/?token=s3cret", "no query"),
            ("ws://user:s3cret@a:80", "auth"),
            ("ws://user:s3cret#x@a:80", "auth"),
            ("ws://a:80/?x@s3cret", "no query"),
            ("unix:///a\0b", "zero bytes"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(matches!(error.kind, Kind::InvalidAddress(_)), "{text}");
            let told = format!("{error} {error:?}");
            assert!(told.contains(reason), "{text}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn only_loopback_is_local() {
        for (text, local) in [
            ("ws://127.0.0.1:1", true),
            ("ws://127.9.9.9:1", true),
            ("ws://[::1]:1", true),
            ("ws://[::ffff:127.0.0.1]:1", true),
            ("ws://localhost:1", true),
            ("ws://LOCALHOST:1", true),
            ("ws://0.0.0.0:1", false),
            ("ws://10.0.0.1:1", false),
            ("ws://localhost.example.org:1", false),
            ("ws://127.0.0.1.example.org:1", false),
        ] {
            let Place::Tcp(tcp) = text.parse::<Endpoint>().unwrap().place else {
                panic!("{text}")
            };
            assert_eq!(tcp.is_local(), local, "{text}");
        }
    }
}

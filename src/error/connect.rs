//! Why a server could not be reached.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

/// A server that listens could not be reached. No request was sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectError {
    /// The address, without secrets.
    pub address: String,
    /// What is wrong.
    pub kind: ConnectErrorKind,
}

/// Why a server could not be reached: what is wrong with its address, or with what listens there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The address is not one of `unix://`, `unix://PATH`, `ws://HOST:PORT` and `wss://HOST:PORT`.
    InvalidAddress(String),
    /// The path of the socket does not exist.
    NoServer,
    /// The path is a socket, or a link to one, whose server has ended.
    Stale,
    /// The path is not a stream socket but this kind of file.
    NotASocket(&'static str),
    /// The socket, or the server behind it, belongs to another user.
    OtherUser {
        /// The user's number.
        uid: u32,
    },
    /// This user may not use the socket.
    NotPermitted,
    /// The path of the socket is longer than the operating system allows, also after links are resolved.
    PathTooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest that is possible.
        max: usize,
    },
    /// Another server listens on the socket that a server was to be started on.
    InUse,
    /// The directory of the socket that a server was to be started on is not safe, or can't be made.
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name of the host has no address.
    UnknownHost(String),
    /// Nothing listens on the port.
    Refused,
    /// The server's certificate is for other names.
    WrongName(String),
    /// The TLS connection failed for another reason, such as an authority that is not trusted.
    Tls(String),
    /// The token can't be read, or must not be sent to this address.
    Token(String),
    /// The server refused the token, or requires one.
    Unauthorized(AuthRefusal),
    /// The server answered the WebSocket handshake with an HTTP error.
    Http {
        /// The status code.
        status: u16,
        /// The first bytes of the body, at most 1 KiB.
        body: String,
    },
    /// What listens there does not speak WebSocket.
    NotWebSocket(String),
    /// The server accepted the connection and did not answer.
    Silent {
        /// The handshake's deadline.
        after: Duration,
        /// The step that did not complete.
        waiting_for: &'static str,
    },
    /// The server is older than this crate supports. `Endpoint::any_version` accepts it.
    OldServer {
        /// Its version.
        version: String,
        /// The oldest that is supported.
        oldest: &'static str,
    },
    /// A supervised connection was lost, and another server than before answers at the address.
    OtherServer {
        /// What differs: `home` or `version`.
        what: &'static str,
        /// That of the first server.
        was: String,
        /// That of the server that answers now.
        is: String,
    },
    /// This platform has no such sockets.
    Unsupported(&'static str),
    /// Another error of the operating system.
    Io(Arc<io::Error>),
}

/// Why a server refused a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthRefusal {
    /// The server requires a token, and none was sent.
    Missing,
    /// The token is not the server's capability token.
    WrongToken,
    /// The signature is wrong, or the token is of another kind.
    InvalidJwt,
    /// The token has expired.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// The token has another issuer than the server requires, or none.
    WrongIssuer,
    /// The token has another audience than the server requires, or none.
    WrongAudience,
    /// Another reason, in the server's words.
    Other(String),
}

impl AuthRefusal {
    /// Reads the body of a 401.
    #[cfg(feature = "ws")]
    pub(crate) fn from_body(body: &str) -> Self {
        match body.trim() {
            "missing websocket bearer token" => Self::Missing,
            "invalid websocket bearer token" => Self::WrongToken,
            "invalid websocket jwt" => Self::InvalidJwt,
            "expired websocket jwt" => Self::Expired,
            "websocket jwt is not valid yet" => Self::NotYetValid,
            "websocket jwt issuer mismatch" => Self::WrongIssuer,
            "websocket jwt audience mismatch" => Self::WrongAudience,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for AuthRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it wants a token; set one with `Endpoint::auth`",
            Self::WrongToken => "it does not know this token",
            Self::InvalidJwt => {
                "it does not accept this token: the secret is another one, or it is no token of this kind"
            }
            Self::Expired => "the token has expired; compare the clocks of both machines",
            Self::NotYetValid => "the token is not valid yet; compare the clocks of both machines",
            Self::WrongIssuer => "it wants another issuer in the token",
            Self::WrongAudience => "it wants another audience in the token",
            Self::Other(reason) if reason.is_empty() => "it refused the token without a reason",
            Self::Other(reason) => reason,
        })
    }
}

impl fmt::Display for ConnectErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidAddress(reason)
            | Self::UnknownHost(reason)
            | Self::Tls(reason)
            | Self::Token(reason) => f.write_str(reason),
            Self::Unsupported(reason) => f.write_str(reason),
            Self::NoServer => f.write_str("no server is there: nothing is at this path"),
            Self::Stale => f.write_str("the server that made this socket has ended"),
            Self::NotASocket(what) => write!(f, "it is {what}, not a stream socket"),
            Self::OtherUser { uid } => write!(
                f,
                "it belongs to the user {uid}, and a server of another user is not trusted"
            ),
            Self::NotPermitted => f.write_str("this user may not use the socket"),
            Self::PathTooLong { len, max } => write!(
                f,
                "its path has {len} bytes and a socket's at most {max}; use a link with a shorter path"
            ),
            Self::InUse => f.write_str("another server listens there"),
            Self::Directory { dir, reason } => {
                write!(f, "the directory {} {reason}", dir.display())
            }
            Self::Refused => f.write_str("nothing listens on this port"),
            Self::WrongName(reason) => {
                write!(f, "the server's certificate is for other names: {reason}")
            }
            Self::Unauthorized(refusal) => {
                write!(f, "the server refuses the connection: {refusal}")
            }
            Self::Http { status, body } => {
                write!(f, "the server answered with HTTP {status}")?;
                match body.lines().next().map(str::trim) {
                    None | Some("") => Ok(()),
                    Some(line) => write!(f, ": {line}"),
                }
            }
            Self::NotWebSocket(reason) => {
                write!(f, "what listens there does not speak WebSocket: {reason}")
            }
            Self::Silent { after, waiting_for } => {
                write!(f, "{waiting_for} did not come within {after:?}")
            }
            Self::OldServer { version, oldest } => write!(
                f,
                "the server is codex {version}, and the oldest supported one is {oldest}; restart it with a newer codex"
            ),
            Self::OtherServer { what, was, is } => write!(
                f,
                "another server answers there than before: its {what} was {was} and is {is}"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}: {}", self.address, self.kind)
    }
}

impl std::error::Error for ConnectError {}

impl From<std::convert::Infallible> for ConnectError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<io::Error> for ConnectErrorKind {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

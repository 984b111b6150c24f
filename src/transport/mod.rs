//! How a client reaches its server. A child or an address becomes two streams of JSON lines, which
//! the engine drives.

mod kind;
pub(crate) mod private_files;
pub(crate) mod stdio;

#[cfg(feature = "ws")]
mod auth;
#[cfg(feature = "ws")]
mod connect;
#[cfg(feature = "ws")]
mod endpoint;
#[cfg(feature = "ws")]
mod jwt;
#[cfg(feature = "ws")]
mod secret;
#[cfg(feature = "ws")]
mod tcp;
#[cfg(feature = "ws")]
mod tls;
#[cfg(all(unix, feature = "ws"))]
pub(crate) mod unix;
#[cfg(feature = "ws")]
mod upgrade;
#[cfg(feature = "ws")]
pub(crate) mod websocket;

#[cfg(all(feature = "ws", not(unix)))]
pub(crate) use connect::NO_SOCKETS;
#[cfg(all(unix, feature = "ws"))]
pub(crate) use connect::open_unix;
pub use kind::ConnectionKind;
#[cfg(feature = "ws")]
pub use {auth::Auth, endpoint::Endpoint};
#[cfg(feature = "ws")]
pub(crate) use {
    connect::{Deadline, Opened, open},
    endpoint::{codex_home, control_socket},
};

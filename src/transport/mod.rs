//! How a client comes to its server: an address becomes two streams of JSON lines, which the engine drives like a
//! child's pipes.

mod kind;
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
mod serve;
#[cfg(feature = "ws")]
mod tcp;
#[cfg(feature = "ws")]
mod tls;
#[cfg(feature = "ws")]
mod unix;
#[cfg(feature = "ws")]
mod upgrade;
#[cfg(feature = "ws")]
mod watchdog;
#[cfg(feature = "ws")]
pub(crate) mod websocket;

pub(crate) use crate::error::{AuthRefusal, ConnectError, ConnectErrorKind};
pub use kind::ConnectionKind;
#[cfg(feature = "ws")]
pub use {auth::Auth, endpoint::Endpoint};
#[cfg(feature = "ws")]
pub(crate) use {
    connect::{Deadline, Opened, open},
    endpoint::{codex_home, control_socket},
};

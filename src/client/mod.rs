//! The client: its builder, the task that owns its connection, and the requests made through it.

pub(crate) mod backoff;
pub(crate) mod builder;
pub(crate) mod connection_task;
pub(crate) mod handle;
mod limits;
pub(crate) mod pager;
pub(crate) mod pages;
pub(crate) mod request;
pub(crate) mod retry;
mod role;
#[cfg(all(unix, feature = "ws"))]
mod serve;
pub(crate) mod server_info;
#[cfg(feature = "ws")]
mod sockets;
mod start;
pub(crate) mod time;
pub(crate) mod tracker;

pub use crate::transport::ConnectionKind;
pub use builder::Builder;
pub use handle::CasClient;
pub use pages::Pages;
pub use request::{Request, Response};
pub use retry::Retry;
pub use role::Role;
pub use server_info::ServerInfo;

//! Live sessions: the running servers, and the threads that they have loaded.

mod discover;
mod held;
mod join;
mod locks;
mod probe;
mod server;

pub use crate::client::Role;
pub use crate::transport::{Auth, Endpoint};
pub use discover::{Discover, Live, Unreachable};
pub use held::{HeldThread, Holder};
pub use join::{Join, JoinedEvent, JoinedThread};
pub use server::{LiveServer, LiveStatus, LiveThread, ServerOwner, ThreadRole};

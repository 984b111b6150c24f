//! What the server sends on its own: events, event streams, filters, and every line of the wire.

mod client;
mod event;
mod filter;
mod stream;
mod wire;

pub use crate::rpc::MessageKind;
pub use event::Event;
pub use filter::Filter;
pub use stream::{Events, Notifications};
pub use wire::{Direction, Wire, WireLine};

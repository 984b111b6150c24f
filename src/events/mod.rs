//! What the server says unasked: events and streams of them, filters, and the wire as it is.

pub(crate) mod event;
pub(crate) mod filter;
pub(crate) mod wire;

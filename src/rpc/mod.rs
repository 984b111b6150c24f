//! The JSON-RPC engine: framing, routing, pending requests, queues. It knows nothing of Codex.
//!
//! ```text
//!  callers ── frame ──► Outbox ──► stdin            stdout ──► Lines ──► Router ──┬─► pending request (oneshot)
//!             (whole lines only)                                (reader task)     ├─► Queue a subscription (two rings)
//!                                                                                 └─► Dialect (server requests, observers)
//! ```

mod aside;
mod batch;
mod block;
pub(crate) mod connection;
pub(crate) mod line;
pub(crate) mod message;
#[cfg(test)]
mod model_tests;
pub(crate) mod outbox;
mod pending;
pub(crate) mod queue;
pub(crate) mod router;
mod routes;
pub(crate) mod scan;
mod sync;
pub(crate) mod tap;
pub(crate) mod window;

pub(crate) use aside::Aside;
pub(crate) use block::Value;
pub(crate) use connection::{Connection, Limits};
pub(crate) use message::Incoming;
pub use message::Kind;
pub(crate) use router::Router;

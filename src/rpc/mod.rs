//! The JSON-RPC engine: framing, routing, pending requests, queues. It knows nothing of Codex: a [`Protocol`] tells it
//! where routing keys stand and which notifications are vital, a [`router::Dialect`] handles the server's requests.
//!
//! ```text
//!  callers ── frame ──► Outbox ──► stdin            stdout ──► Lines ──► reader ──┬─► pending request (oneshot)
//!             (whole lines only)                                                  ├─► Queue a subscription (two rings)
//!                                                                                 └─► Dialect (server requests, observers)
//! ```
//!
//! [`reader`] tells what happens to a line, step by step. What makes a step fast stands behind it, one door a file:
//!
//! | door | file |
//! |---|---|
//! | the walk over a line that finds its envelope | `scanner` |
//! | the walk goes on where the line before differs | `scan` |
//! | who gets a line was decided for the line before | `routes` |
//! | lines that go the same way share a block | `block` |
//! | buffers and decoded values are used again | `recycle` |
//! | a caller writes its frame itself if the pipe is idle | `outbox` |
//! | requests that wait for a place are sent by the reader, all that fit with one write | `window` |

mod aside;
mod batch;
mod block;
pub(crate) mod connection;
mod envelope;
pub(crate) mod error;
pub(crate) mod line;
#[cfg(test)]
mod line_model_tests;
mod lock;
pub(crate) mod message;
#[cfg(test)]
mod model_tests;
pub(crate) mod outbox;
pub(crate) mod outgoing;
mod pending;
mod protocol;
pub(crate) mod queue;
pub(crate) mod reader;
#[cfg(test)]
mod reader_tests;
mod recycle;
pub(crate) mod reply;
pub(crate) mod router;
mod routes;
mod scan;
mod scanner;
#[cfg(test)]
mod stuck_tests;
mod sync;
pub(crate) mod tap;
#[cfg(test)]
mod test_protocol;
pub(crate) mod window;

pub(crate) use aside::Aside;
pub(crate) use connection::{Connection, Limits};
pub use envelope::MessageKind;
pub(crate) use envelope::{Parts, Route};
pub(crate) use lock::Lock;
pub(crate) use message::Incoming;
pub(crate) use protocol::{Class, Member, Protocol};
pub(crate) use recycle::Value;
pub(crate) use router::Router;

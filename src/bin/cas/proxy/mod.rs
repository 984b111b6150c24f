//! An instance as others drive it: one `codex app-server` behind a stream of JSON lines in both
//! directions.
//!
//! This is what `cas proxy` runs. It speaks to the orchestrator in commands (`cas/request`,
//! `cas/respond`, …) and events (`cas/fromServer`, `cas/serverRequest`, …), answers approvals by a
//! fixed policy, and passes everything else on. From Rust, [`CasClient`](cas_sdk::CasClient) is the
//! better way.
//!
//! The server's messages are not rebuilt: `msg` is the very text that the server wrote. One task
//! does all, so that an answer to the server never waits for a thread to wake up.
//!
//! ```text
//!  commands ──► client_line ─┐            ┌─► frames ──► app-server
//!                            ├─► Session ─┤
//!  app-server ► server_line ─┘            └─► events ──► queue ──► stdout
//! ```

mod answers;
mod child;
mod client;
mod command;
mod events;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod notice;
mod open;
mod options;
mod pipes;
mod policy;
mod queue;
mod requests;
mod run;
mod scan;
mod server;
mod session;
mod state;
mod stats;
mod turns;

pub(crate) use notice::Notice;
pub(crate) use options::{ApprovalPolicy, Decision, Options, SkillDecision};
pub(crate) use run::run;

/// Whether another attempt may succeed where an instance ended with this error before it was ready,
/// and its app-server said this on stderr: it was too slow, or another one held the databases of
/// its home.
pub(crate) fn start_may_pass(error: &str, stderr: &str) -> bool {
    error.contains("did not answer initialize in time") || cas_sdk::internal::lost_its_home(stderr)
}

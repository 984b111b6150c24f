//! Typed async SDK for OpenAI's `codex app-server`.
//!
//! # The five laws
//! 1. **The reader waits for nobody.** Not for event consumers, not for handlers, not for the writer.
//! 2. **One owner each.** The reader task owns stdout and routes, the outbox owns stdin, the supervisor the child, one
//!    more task stderr. Shared state is behind one `std::sync::Mutex` each, never held across an await.
//! 3. **Every wait is a guard.** Dropping a future, a stream, a responder or a client leaves nothing behind.
//! 4. **Every server request is settled exactly once**: by a handler, by its responder's drop, by a rule, or because
//!    the server resolved it.
//! 5. **Everything is bounded**: requests in flight, event queues, handlers, line length, the stderr tail, and the time
//!    that shutdown takes.
//!
//! # Where to start
//! [`CasClient::builder`] → [`Builder::spawn`] → [`CasClient::start_thread`] → [`Thread::ask`] → [`Turn`].

// From the data up: each imports only what stands above it, but for `client`, `thread` and `handlers`, which know each other.
mod client;
pub mod concepts;
mod error;
mod events;
mod handlers;
pub mod history;
#[cfg(feature = "ws")]
pub mod live;
mod private_files;
pub mod protocol;
pub mod rate_limits;
mod rpc;
pub mod schema;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
mod thread;
mod transport;
mod turn;

pub use client::builder::Builder;
pub use client::handle::{CasClient, ServerInfo};
pub use client::pages::Pages;
pub use client::request::{RawResponse, Request};
pub use client::retry::Retry;
pub use error::class::ErrorClass;
pub use error::{CloseCause, CloseReason, Error, RawText, RpcError, RpcErrorKind, SpawnError};
pub use events::event::{Event, Events, TypedEvents};
pub use events::filter::Filter;
pub use events::wire::{Direction, Wire, WireLine};
pub use handlers::dispatch::PendingRequest;
pub use handlers::policy::{Audit, DecidedBy, Permission, Policy, Rule, Subject};
pub use handlers::tools::{DynamicTool, Tool, ToolContext, ToolError, ToolOutput};
pub use handlers::{
    Answers, ApprovalRequest, Approvals, Attestation, AuthRefresh, Clock, Decision, Elicitation,
    ElicitationAnswer, ElicitationAsk, ElicitationRequest, Fallback, FileChangeApproval, Grant,
    HandlerError, Handlers, McpToolCall, Persist, RefreshRequest, RequestContext, Responder,
    SkillApproval, Tokens, UnclaimedRequest, UnclaimedRequests, UserInput,
};
#[cfg(feature = "ws")]
pub use live::Live;
pub use rpc::MessageKind;
pub use supervisor::{Restart, ServerState, ServerStates, Supervisor};
pub use thread::handle::{Origin, Thread};
pub use thread::input::Input;
pub use thread::open::Resume;
pub use thread::send::Sent;
pub use transport::stdio::find_codex;
#[cfg(feature = "ws")]
pub use transport::{Auth, Endpoint};
pub use transport::{AuthRefusal, ConnectError, ConnectErrorKind, ConnectionKind};
pub use turn::start::Ask;
pub use turn::structured::AskAs;
pub use turn::terminal;
pub use turn::{
    Deadline, Item, TokenUsage, Turn, TurnControl, TurnError, TurnErrorKind, TurnEvent,
    TurnFailure, TurnOutcome,
};

/// What the `cas` binary and the fuzz targets share with the library. Not a part of the API.
#[doc(hidden)]
pub mod internal {
    pub use crate::{
        error::class::lost_its_home,
        private_files::{PrivateDir, open_regular},
        rpc::line::{Line, Lines},
        transport::stdio::{Launch, Pipes, Process, Registry},
    };

    /// The parts of the schema that answers to server requests are checked against.
    pub const ANSWERS: &str = include_str!(concat!(env!("OUT_DIR"), "/answers.json"));

    /// What the rules of a policy decide about the params of a request to approve a command.
    #[cfg(fuzzing)]
    #[must_use]
    pub fn ruled(policy: &crate::Policy, params: &str) -> Option<crate::Decision> {
        let method = "item/commandExecution/requestApproval";
        let facts = crate::handlers::policy::Facts::read(method, params, None);
        policy.decide(&facts).map(|ruling| ruling.decision)
    }
}

/// The code blocks of the guide to live sessions are compiled as tests.
#[cfg(all(doctest, feature = "ws"))]
#[doc = include_str!("../docs/live.md")]
struct LiveSessions;

/// The code blocks of the README are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

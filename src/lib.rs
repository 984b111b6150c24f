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

// The rooms, from the front door to the engine.
mod answer;
mod ask;
mod backoff;
pub mod budget;
mod builder;
mod client;
pub mod concepts;
mod error;
mod error_class;
mod event;
mod filter;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod input;
#[cfg(feature = "ws")]
pub mod live;
mod log;
pub mod mine;
mod misfit;
mod open;
mod pager;
mod pages;
mod policy;
#[doc(hidden)]
pub mod private_files;
pub mod protocol;
#[cfg(feature = "cli")]
pub mod proxy;
mod read;
mod request;
mod restart;
mod retry;
mod rpc_error;
pub mod schema;
mod send;
mod shortened;
mod strict;
pub mod terminal;
#[cfg(feature = "testing")]
pub mod testing;
mod thread;
mod time;
mod tool;
mod transport;
mod turn;
mod wire;

// The engine room.
mod dispatch;
mod process;
mod rpc;
mod supervisor;
mod tracker;
mod words;

pub use answer::AskAs;
pub use ask::Ask;
pub use builder::Builder;
pub use client::{CasClient, ServerInfo};
pub use dispatch::PendingRequest;
pub use error::{CloseCause, CloseReason, Error, RawText, RpcError, RpcErrorKind, SpawnError};
pub use error_class::ErrorClass;
pub use event::{Event, Events, TypedEvents};
pub use filter::Filter;
pub use handler::{
    Answers, ApprovalRequest, Approvals, Attestation, AuthRefresh, Clock, Decision, Elicitation,
    ElicitationAnswer, ElicitationAsk, ElicitationRequest, Fallback, FileChangeApproval, Grant,
    HandlerError, Handlers, McpToolCall, Persist, RefreshRequest, RequestContext, Responder,
    SkillApproval, Tokens, UnclaimedRequest, UnclaimedRequests, UserInput,
};
pub use input::Input;
#[cfg(feature = "ws")]
pub use live::Live;
pub use open::Resume;
pub use pages::Pages;
pub use policy::{Audit, DecidedBy, Permission, Policy, Rule, Subject};
pub use process::find_codex;
pub use request::{RawResponse, Request};
pub use restart::{Restart, ServerState, ServerStates, Supervisor};
pub use retry::Retry;
pub use rpc::Kind;
pub use send::Sent;
pub use thread::{Origin, Thread};
pub use tool::{DynamicTool, Tool, ToolContext, ToolError, ToolOutput};
#[cfg(feature = "ws")]
pub use transport::{Auth, Endpoint};
pub use transport::{AuthRefusal, ConnectError, ConnectErrorKind, ConnectionKind};
pub use turn::{
    Deadline, Item, TokenUsage, Turn, TurnControl, TurnError, TurnErrorKind, TurnEvent,
    TurnFailure, TurnOutcome,
};
pub use wire::{Direction, Wire, WireLine};

/// The code blocks of the guide to live sessions are compiled as tests.
#[cfg(all(doctest, feature = "ws"))]
#[doc = include_str!("../docs/live.md")]
struct LiveSessions;

/// The code blocks of the README are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! A typed async SDK for OpenAI's `codex app-server`.
//!
//! A [`CasClient`] starts the server or connects to one, and does the handshake. A [`Thread`] is a
//! conversation, a [`Turn`] one piece of work in it: a stream of [`TurnEvent`]s with a
//! [`TurnOutcome`] at its end.
//!
//! ```no_run
//! use cas_sdk::{CasClient, TurnEvent, protocol::ThreadStartParams};
//!
//! # async fn run() -> Result<(), cas_sdk::Error> {
//! let client = CasClient::builder().cwd("/repo").spawn().await?;
//! let thread = client.start_thread(ThreadStartParams::default()).await?;
//! let mut turn = thread.ask("Why is the build red?").await?;
//! while let Some(event) = turn.next().await {
//!     if let TurnEvent::Text { delta, .. } = event? {
//!         print!("{}", cas_sdk::terminal::escape(&delta));
//!     }
//! }
//! client.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # Where to go next
//! - [`concepts`]: ordering, cancellation, back-pressure, deadlines, shutdown.
//! - [`client`]: the [`Builder`], and requests: [`CasClient::request`] for any method of the schema,
//!   [`CasClient::call`] for a method by its name, [`CasClient::pages`] for lists.
//! - [`thread`] and [`turn`]: resuming, asking, steering, interrupting, goals, reviews, plans,
//!   sub-agents, structured answers.
//! - [`events`]: filtered streams of notifications, and every line of the wire.
//! - [`handlers`], [`tools`] and [`policy`]: the server's requests. Approvals are declined unless a
//!   policy or a handler of yours accepts them.
//! - [`host`]: commands, files and logins on the server's machine, without an agent.
//! - [`supervisor`], [`history`], [`rate_limits`], [`schema`]: restarts, stored threads, pacing, and
//!   what an installed codex lacks.
//! - [`protocol`]: the types of the wire, generated from the server's own schema.
//!
//! # Features
//! - `ws`: sockets. `Builder::connect_to`, `Builder::serve` and `live::Live`.
//! - `testing`: a scripted model, a fake server and a hermetic home, for tests of your own program.
//! - `cli`: the `cas` binary.

// From the data up: each imports only what stands above it, but for `client` and `handlers`, which know each other.
pub mod client;
#[doc = include_str!("../docs/concepts.md")]
pub mod concepts {}
pub mod error;
pub mod events;
pub mod handlers;
pub mod history;
pub mod host;
#[cfg(feature = "ws")]
pub mod live;
pub mod protocol;
pub mod rate_limits;
mod rpc;
pub mod schema;
pub mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
pub mod thread;
mod transport;
pub mod turn;

/// Dynamic tools: functions of this program that the model may call.
pub mod tools {
    pub use crate::handlers::tools::{
        DynamicTool, IntoToolOutput, Json, Tool, ToolContext, ToolError, ToolOutput,
    };
}

/// Policies: decisions about approvals that need nobody, as values one can read.
pub mod policy {
    pub use crate::handlers::policy::{Audit, DecidedBy, Permission, Policy, Rule, Subject};
}

pub use client::{Builder, CasClient, Request, Retry};
pub use error::{Error, ErrorClass, RpcErrorKind};
pub use events::{Event, Events, Filter};
pub use handlers::{
    Handlers,
    tools::{Tool, ToolContext, ToolError, ToolOutput},
};
#[cfg(feature = "ws")]
pub use live::Live;
pub use supervisor::Supervisor;
pub use thread::{Input, Thread};
pub use transport::stdio::find_codex;
pub use turn::terminal;
pub use turn::{Ask, Turn, TurnEvent, TurnOutcome};

/// The names that most programs need, for `use cas_sdk::prelude::*`. None of them is the name of a
/// [`protocol`] type, so the two can be imported together.
///
/// ```
/// use cas_sdk::{prelude::*, protocol::*};
///
/// async fn ask(client: &CasClient) -> Result<TurnOutcome, Error> {
///     let thread: Thread = client.start_thread(ThreadStartParams::default()).await?;
///     thread.ask("Why is the build red?").await?.finish().await
/// }
/// ```
pub mod prelude {
    pub use crate::{
        Ask, Builder, CasClient, Error, ErrorClass, Event, Events, Filter, Handlers, Input,
        Request, Retry, RpcErrorKind, Supervisor, Thread, Tool, ToolContext, ToolError, ToolOutput,
        Turn, TurnEvent, TurnOutcome,
        handlers::{Approvals, Decision, HandlerError, RequestContext},
        policy::{Policy, Rule},
        tools::DynamicTool,
        turn::{Deadline, TurnControl},
    };
}

/// What the `cas` binary and the fuzz targets share with the library. Not a part of the API.
#[doc(hidden)]
pub mod internal {
    pub use crate::{
        client::pager::Pager,
        error::class::lost_its_home,
        history::stream::EVERY_SOURCE,
        rpc::line::{Line, Lines},
        transport::{
            private_files::{PrivateDir, open_regular},
            stdio::{CONNECT_TOKEN, Launch, Pipes, Process, Registry, Signal},
        },
    };

    /// Opens a connection to a server, before `initialize`: the lines that it sends, and those
    /// that it is sent. A flush of the latter answers pings, too.
    ///
    /// # Errors
    /// See [`Builder::connect_to`](crate::Builder::connect_to).
    #[cfg(feature = "ws")]
    pub async fn open_lines(
        endpoint: &crate::live::Endpoint,
        within: std::time::Duration,
    ) -> Result<
        (
            Box<dyn tokio::io::AsyncRead + Send + Unpin>,
            Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
        ),
        crate::error::ConnectError,
    > {
        let deadline = crate::transport::Deadline::new(within);
        let opened = crate::transport::open(endpoint, None, deadline).await?;
        Ok((Box::new(opened.reader), Box::new(opened.writer)))
    }

    /// The parts of the schema that answers to server requests are checked against.
    pub const ANSWERS: &str = include_str!(concat!(env!("OUT_DIR"), "/answers.json"));

    /// What the rules of a policy decide about the params of a request to approve a command.
    #[cfg(fuzzing)]
    #[must_use]
    pub fn ruled(
        policy: &crate::policy::Policy,
        params: &str,
    ) -> Option<crate::handlers::Decision> {
        use crate::handlers::{method::Approval, policy::Facts};
        let facts = Facts::read(Approval::Command, params, None);
        policy.decide(&facts).map(|ruling| ruling.decision)
    }
}

/// The code blocks of the guide to live sessions are compiled as tests.
#[cfg(all(doctest, feature = "ws"))]
#[doc = include_str!("../docs/live.md")]
struct LiveSessions;

/// The code blocks of the guide to turns are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/turns.md")]
struct GuideToTurns;

/// The code blocks of the README are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! For tests of programs that use this crate: the real codex, but no account, no internet and no surprises.
//!
//! Three things make a hermetic test of an orchestrator. [`MockModel`] plays the model: it streams what the
//! test scripts, calls tools, breaks off, and records what it was asked. [`CodexHome`] is a temporary home
//! whose configuration makes codex ask that model and nobody else. [`codex`] is the path of the codex
//! binary that this version of the crate was made for, fetched through npm when it is needed for the first
//! time.
//!
//! A turn takes about a tenth of a second, so hundreds of such tests are affordable.
//!
//! For what the real codex never does, such as a turn that is never completed, there is [`FakeServer`].
//!
//! ```no_run
//! # async fn a_test() -> Result<(), Box<dyn std::error::Error>> {
//! use cas_sdk::testing::{self, CodexHome, MockModel, Reply};
//! use serde_json::json;
//!
//! // Where there is neither a codex nor npm, the test says so and ends.
//! let Some(codex) = testing::codex_or_skip().await else { return Ok(()) };
//! let model = MockModel::start().await;
//! let home = CodexHome::new(&model)?;
//!
//! // The script: in the first step the model calls a tool, in the second it answers.
//! model.reply(Reply::new().function_call("call-1", "weather", json!({ "city": "Paris" })));
//! model.reply(Reply::text("It is sunny in Paris."));
//!
//! // Here the program under test starts this codex and runs a turn.
//! let mut command = tokio::process::Command::new(codex);
//! command.arg("app-server").env_clear().envs(home.env()).current_dir(home.work_dir());
//! # let _ = command;
//!
//! // What the model was told.
//! let requests = model.wait_for_requests(2).await;
//! assert!(requests[0].tools().contains(&"weather".to_owned()));
//! assert_eq!(requests[1].tool_output("call-1").unwrap(), "sunny");
//! assert_eq!(model.unexpected(), [""; 0]);
//! # Ok(()) }
//! ```

mod fake;
mod fake_turn;
mod fake_wire;
mod fetch;
mod gate;
mod home;
mod install;
mod jwt;
mod model;
mod record;
mod reply;
mod request;
mod routes;
mod server;
mod skip;
mod sse;
#[cfg(feature = "ws")]
mod websocket;

pub use fake::{FakeRequest, FakeServer};
pub use fetch::{CODEX_VERSION, FetchError, codex};
pub use gate::Gate;
pub use home::{CodexHome, CodexHomeBuilder};
pub use jwt::jwt;
pub use model::MockModel;
pub use reply::{Reply, Usage};
pub use request::ModelRequest;
pub use skip::codex_or_skip;
#[cfg(feature = "ws")]
pub use websocket::connect;

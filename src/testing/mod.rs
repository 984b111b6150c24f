//! Tests of programs that use this crate, with the real codex and without an account or a network.
//!
//! A hermetic test has three parts. [`MockModel`] plays the model: it streams what the test
//! scripts, calls tools, breaks off, and records its requests. [`CodexHome`] is a temporary home
//! whose configuration makes codex use that model and nothing else. [`codex`] is the path of the
//! codex binary that this version of the crate was generated from, fetched through npm on first
//! use.
//!
//! A turn takes about a tenth of a second, so a test suite can have hundreds of such tests.
//!
//! [`FakeServer`] plays an app-server for what the real codex never does, such as a turn that never
//! completes.
//!
//! ```no_run
//! # async fn a_test() -> Result<(), Box<dyn std::error::Error>> {
//! use cas_sdk::testing::{self, CodexHome, MockModel, Reply};
//! use serde_json::json;
//!
//! // Without a codex and npm, the test reports that it is skipped.
//! let Some(codex) = testing::codex_or_skip().await else { return Ok(()) };
//! let model = MockModel::start().await;
//! let home = CodexHome::new(&model)?;
//!
//! // The script: the model first calls a tool, then answers.
//! model.reply(Reply::new().function_call("call-1", "weather", json!({ "city": "Paris" })));
//! model.reply(Reply::text("It is sunny in Paris."));
//!
//! // The program under test starts this codex and runs a turn.
//! let mut command = tokio::process::Command::new(codex);
//! command.arg("app-server").env_clear().envs(home.env()).current_dir(home.work_dir());
//! # let _ = command;
//!
//! // The requests that the model received.
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
mod note;
mod record;
mod reply;
mod request;
mod routes;
mod script;
mod server;
mod skip;
mod sse;
mod version;
#[cfg(feature = "ws")]
mod websocket;

pub use fake::{FakeRequest, FakeServer};
pub use fetch::codex;
pub use gate::Gate;
pub use home::{CodexHome, CodexHomeBuilder};
pub use jwt::jwt;
pub use model::MockModel;
pub use reply::{Reply, Usage};
pub use request::ModelRequest;
pub use skip::codex_or_skip;
pub use version::{CODEX_VERSION, FetchError};
#[cfg(feature = "ws")]
pub use websocket::connect;

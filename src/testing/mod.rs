//! For tests of programs that use this crate: the real codex, but no account, no internet and no surprises.
mod fetch;
mod gate;
mod home;
mod install;
mod jwt;
mod model;
mod reply;
mod request;
mod routes;
mod server;
mod skip;
mod sse;

pub use fetch::{CODEX_VERSION, FetchError, codex};
pub use gate::Gate;
pub use home::{CodexHome, CodexHomeBuilder};
pub use jwt::jwt;
pub use model::MockModel;
pub use reply::{Reply, Usage};
pub use request::ModelRequest;
pub use skip::codex_or_skip;

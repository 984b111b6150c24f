//! The scripted model as an HTTP client sees it, without a codex.

mod http;
mod record;
mod script;
mod streams;

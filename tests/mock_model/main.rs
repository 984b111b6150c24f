//! The scripted model from the view of an HTTP client, without codex.

mod http;
mod record;
mod script;
mod streams;

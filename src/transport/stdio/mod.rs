//! codex as a child process: where the executable is, how it is started, and how it is ended with
//! everything that it has started.

#[cfg(unix)]
mod descendants;
mod find;
#[cfg(unix)]
mod orphans;
mod spawn;
mod stderr;

pub use find::find_codex;
pub use spawn::{CONNECT_TOKEN, Launch, Pipes, Process, Registry, Signal};
pub(crate) use {find::find_codex_for, spawn::without_window, stderr::Tail};

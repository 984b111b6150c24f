//! The machine on which the server runs, without an agent: commands, files, and the account that is
//! logged in.

mod exec;
mod files;
mod login;

pub use exec::{Exec, ExecEvent, ExecOutput, ExecProcess};
pub use files::{Files, Watch};
pub use login::{Login, PendingLogin};

//! Files for this user alone: the records of running servers, state files, mined threads, caches.
//!
//! A directory is opened once, and its files are opened by their names in it, without following
//! links. Further promises depend on the platform. On Unix a directory or file that others may
//! change is refused. On Windows files have the access list of their directory, which below the
//! user's profile is for the user, administrators and the system.

mod common;
mod path;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub(crate) use common::unique_name;
#[cfg(unix)]
pub(crate) use unix::create_dir;
#[cfg(unix)]
pub use unix::{PrivateDir, open_regular};
#[cfg(windows)]
pub(crate) use windows::create_dir;
#[cfg(windows)]
pub use windows::{PrivateDir, open_regular};

//! The registry of an instance: what one that was killed has left is ended before the next one starts.

use std::error::Error as _;

use cas_sdk::{error::SpawnError, internal::Registry};

use super::{options::Options, session::Session};

/// The registry, if there is to be one and it can be used.
pub(super) async fn open(options: &Options, session: &mut Session) -> Option<Registry> {
    let dir = options
        .registry
        .as_ref()
        .filter(|_| options.connect.is_none())
        .filter(|_| cfg!(any(target_os = "linux", target_os = "macos")))?;
    match Registry::open(dir, options.kill_timeout).await {
        Ok(registry) => Some(registry),
        Err(error) => {
            unusable(session, &error);
            None
        }
    }
}

/// The instance goes on without: what it needs it for is that it is killed.
pub(super) fn unusable(session: &mut Session, error: &SpawnError) {
    let source = error.source().map(ToString::to_string);
    session.error("the registry can't be used", |m| {
        m.value("error", error.to_string()).value("reason", source);
    });
}

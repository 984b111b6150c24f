//! The registry of an instance: it ends what a killed instance has left running before the next one
//! starts.

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

/// The instance goes on without a registry, which it would need only if it were killed.
pub(super) fn unusable(session: &mut Session, error: &SpawnError) {
    let source = error.source().map(ToString::to_string);
    session.error("the registry can't be used", |m| {
        m.value("error", error.to_string()).value("reason", source);
    });
}

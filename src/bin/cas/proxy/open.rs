//! The server of an instance: one that is started, or one that is joined.

use std::{error::Error as _, path::Path};

use cas_sdk::{
    error::SpawnError,
    find_codex,
    internal::{CONNECT_TOKEN, Launch, Process, Registry, open_lines},
    live::Endpoint,
};

use crate::reason::reason;

use super::{child::Child, options::Options, session::Session};

/// What could not be done, and why.
pub(super) type NoServer = (&'static str, String);

/// Starts the app-server.
pub(super) fn start(
    options: &Options,
    session: &mut Session,
    registry: Option<Registry>,
) -> Result<Child, NoServer> {
    let launch = Launch {
        codex: None,
        args: vec!["app-server".into()],
        cwd: Some(session.cwd.clone()),
        env_clear: false,
        env: std::iter::once((CONNECT_TOKEN.into(), None))
            .chain({ options.env.iter() }.map(|(k, v)| (k.clone(), Some(v.clone()))))
            .collect(),
    };
    let spawned = find_codex(Some(Path::new(&session.codex)))
        .and_then(|program| Process::spawn(&program, &launch));
    let (mut process, pipes) =
        spawned.map_err(|error| ("the app-server can't be started", reason(&error)))?;
    if let Some(Err(error)) = registry.map(|registry| process.register(&registry)) {
        unusable(session, &error);
    }
    session.pid = process.id();
    Ok(Child::new(process, pipes, options.kill_timeout))
}

/// Joins a running server.
pub(super) async fn join(endpoint: &Endpoint, options: &Options) -> Result<Child, NoServer> {
    match open_lines(endpoint, options.handshake_timeout).await {
        Ok(lines) => Ok(Child::joined(lines, options.kill_timeout)),
        Err(error) => Err(("the server can't be joined", reason(&error))),
    }
}

/// The registry, if there is to be one and it can be used. It ends what a killed instance has left
/// running before the next one starts.
pub(super) async fn registry(options: &Options, session: &mut Session) -> Option<Registry> {
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
fn unusable(session: &mut Session, error: &SpawnError) {
    let source = error.source().map(ToString::to_string);
    session.error("the registry can't be used", |m| {
        m.value("error", error.to_string()).value("reason", source);
    });
}

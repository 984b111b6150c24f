//! The server of an instance: one that is started, or one that is joined.

use std::path::Path;

use cas_sdk::{
    find_codex,
    internal::{CONNECT_TOKEN, Launch, Process, Registry, open_lines},
    live::Endpoint,
};

use crate::failure::reason;

use super::{child::Child, options::Options, registry, session::Session};

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
        registry::unusable(session, &error);
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

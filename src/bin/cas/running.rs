//! A server that runs already: which one a command is for, and a connection to it that is made
//! again when it is lost.

use std::time::Duration;

use cas_sdk::{
    Builder, CasClient, Live, Supervisor,
    client::Role,
    live::{Endpoint, LiveServer},
    supervisor::Restart,
};
use serde_json::Map;

use crate::{
    output::Result,
    server::{Server, list, parsed, the_one, thread_named},
};

/// The pause before the first attempt, and the longest one. In between it doubles, and each is
/// shortened at random.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// What is done when the connection is lost.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Running server")]
pub(crate) struct Reconnect {
    /// How many times in a row to try to connect again when the connection is lost; 12 times take
    /// about a minute, 0 is never
    #[arg(long, value_name = "TIMES", default_value_t = 12)]
    reconnect: u32,
}

/// The server that a command is for.
pub(crate) struct Running {
    builder: Builder,
    endpoint: Endpoint,
}

impl Running {
    /// The server that is named, or else the one that runs already and has the thread. None is
    /// started.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn with_thread(server: &Server, thread: &str, role: Role) -> Result<Self> {
        let found = Self::find(server, |server| has_thread(server, thread), role).await?;
        found.ok_or_else(|| {
            format!(
                "no server that can be joined has a thread {thread} loaded: `cas live` lists what runs, and --connect names \
                 another server"
            )
            .into()
        })
    }

    /// The server that is named, or else one that runs already. None is started.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn any(server: &Server, role: Role) -> Result<Self> {
        let found = Self::find(server, |_| true, role).await?;
        Ok(found.ok_or(
            "no running server can be joined; start `codex`, or name a server with --connect",
        )?)
    }

    async fn find(
        server: &Server,
        is_of_use: impl Fn(&LiveServer) -> bool,
        role: Role,
    ) -> Result<Option<Self>> {
        let builder = server.builder().role(role);
        let named = server.connect.endpoint()?;
        let mut discover = Live::discover();
        if let Some(endpoint) = &named {
            discover = discover.endpoint(endpoint.clone());
        }
        let live = discover.await;
        let address = named.as_ref().map(ToString::to_string);
        let unreachable = { live.unreachable }
            .into_iter()
            .find(|one| Some(&one.address) == address.as_ref());
        if let Some(unreachable) = unreachable {
            // Only a connection that was there once is waited for.
            return Err(unreachable.error.into());
        }
        let endpoint = named.or_else(|| {
            let mut servers = live.servers.into_iter();
            Some(servers.find(is_of_use)?.endpoint)
        });
        Ok(endpoint.map(|endpoint| Self { builder, endpoint }))
    }

    /// Joins the server, and joins it again whenever the connection is lost.
    ///
    /// # Errors
    /// If it can't be joined.
    pub(crate) async fn join(&self, again: Reconnect) -> Result<Supervisor> {
        let policy = Restart::default()
            .attempts(again.reconnect)
            .backoff(PAUSES.0, PAUSES.1);
        let (builder, endpoint) = (self.builder.clone(), self.endpoint.clone());
        Ok(Box::pin(builder.supervise_connection(endpoint, policy)).await?)
    }
}

/// Whether a server has loaded a thread that begins with `name`.
pub(crate) fn has_thread(server: &LiveServer, name: &str) -> bool {
    { server.threads.iter() }.any(|thread| thread.id.starts_with(name))
}

/// The id of the thread that `name` is the beginning of: a loaded thread, or else a stored one.
///
/// # Errors
/// If there is no such thread, or more than one.
pub(crate) async fn id_of(client: &CasClient, name: &str) -> Result<String> {
    let loaded = list(client, "thread/loaded/list", Map::new(), usize::MAX).await?;
    let loaded: Vec<_> = loaded.iter().map(|id| parsed(id)).collect();
    match the_one(loaded.iter().filter_map(|id| id.as_str()), name)? {
        Some(id) => Ok(id.to_owned()),
        None => thread_named(client, name).await,
    }
}

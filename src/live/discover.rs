//! `Live`: discovers servers that can be joined, and sessions that cannot.

use std::{
    future::{Future, IntoFuture},
    path::PathBuf,
    pin::Pin,
    time::Duration,
};

use futures_util::future::join_all;
use serde::{Serialize, Serializer};

use super::{
    held::{HeldThread, held_threads},
    probe::Probe,
    server::{LiveServer, inspect},
};
use crate::{
    Error,
    live::Endpoint,
    transport::{Deadline, codex_home, control_socket},
};

/// The servers and sessions on this machine, and at the given addresses, at one moment.
///
/// ```no_run
/// # async fn run() {
/// for server in cas_sdk::Live::discover().await.servers {
///     println!("codex {} at {}", server.version.as_deref().unwrap_or("?"), server.endpoint);
///     for thread in &server.threads {
///         println!("  {} {:?} {}", thread.id, thread.status, thread.title());
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Live {
    /// The servers that answered.
    pub servers: Vec<LiveServer>,
    /// The addresses without a server, with the reasons.
    pub unreachable: Vec<Unreachable>,
    /// Threads that a process without a socket has loaded: an embedded TUI, `codex exec`, an
    /// app-server on stdio. Other clients reach only their durable queue. Linux only.
    pub held: Vec<HeldThread>,
}

/// An address without a server that can be joined.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Unreachable {
    /// The address.
    pub address: String,
    /// Why not. [`ConnectErrorKind::NoServer`](crate::error::ConnectErrorKind::NoServer) says that nobody
    /// has started one, [`Stale`](crate::error::ConnectErrorKind::Stale) that its server has ended without
    /// taking the socket away, and [`OtherUser`](crate::error::ConnectErrorKind::OtherUser) that the
    /// socket is not this user's.
    #[serde(serialize_with = "as_text")]
    pub error: Error,
}

fn as_text<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

impl Live {
    /// Looks at the control socket of this process's `CODEX_HOME`, and at the addresses given to
    /// the returned builder.
    ///
    /// Starts, changes and subscribes to nothing, and answers no request of a server.
    pub fn discover() -> Discover {
        Discover {
            homes: None,
            endpoints: Vec::new(),
            timeout: Duration::from_secs(5),
        }
    }
}

/// A discovery of servers; see [`Live::discover`]. Runs when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "a discovery does nothing until it is awaited"]
pub struct Discover {
    homes: Option<Vec<PathBuf>>,
    endpoints: Vec<Endpoint>,
    timeout: Duration,
}

impl Discover {
    /// Looks at the control socket and the threads of this `CODEX_HOME` instead of this process's
    /// own. Further calls add further homes.
    pub fn home(mut self, dir: impl Into<PathBuf>) -> Self {
        self.homes.get_or_insert_default().push(dir.into());
        self
    }

    /// Also looks at this address.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Sets the time each server has to answer all requests of the discovery. Default: 5 s.
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = after;
        self
    }

    async fn run(self) -> Live {
        let homes = self
            .homes
            .unwrap_or_else(|| codex_home().into_iter().collect());
        let sockets = homes
            .iter()
            .map(|home| Endpoint::unix(control_socket(home)));
        let deadline = Deadline::new(self.timeout);
        let inspections = sockets.chain(self.endpoints).map(|endpoint| async move {
            let found = find(&endpoint, deadline).await;
            found.map_err(|error| Unreachable {
                address: endpoint.to_string(),
                error: match error {
                    // Nothing depends on whether a server that is gone has heard a question.
                    Error::Indeterminate { reason, .. } => Error::clone(&reason),
                    other => other,
                },
            })
        });
        let (mut servers, mut unreachable) = (Vec::new(), Vec::new());
        for found in join_all(inspections).await {
            match found {
                // Two addresses may lead to one server.
                Ok((server, _)) if is_known(&servers, &server) => {}
                Ok(found) => servers.push(found),
                Err(why) => unreachable.push(why),
            }
        }
        let mut held = Vec::new();
        for home in &homes {
            held.extend(held_threads(home, &servers, deadline).await);
        }
        join_all(servers.iter().map(|(_, probe)| probe.client.shutdown())).await;
        Live {
            servers: servers.into_iter().map(|(server, _)| server).collect(),
            unreachable,
            held,
        }
    }
}

fn is_known(servers: &[(LiveServer, Probe)], server: &LiveServer) -> bool {
    let pids = servers.iter().filter_map(|(known, _)| known.pid);
    server
        .pid
        .is_some_and(|pid| pids.into_iter().any(|known| known == pid))
}

async fn find(endpoint: &Endpoint, deadline: Deadline) -> Result<(LiveServer, Probe), Error> {
    let probe = Probe::open(endpoint, deadline).await?;
    let server = inspect(endpoint, &probe).await?;
    Ok((server, probe))
}

impl IntoFuture for Discover {
    type Output = Live;
    type IntoFuture = Pin<Box<dyn Future<Output = Live> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

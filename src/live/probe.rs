//! A client that only asks for what a discovery shows. It observes, so the server's requests are
//! left to its other clients.

use std::time::Duration;

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{
    CasClient, Error,
    client::{Builder, Role, connection_task::Peer},
    live::Endpoint,
    protocol::{Call as _, ThreadLoadedListParams, ThreadReadParams, pointer::at},
    transport::{ConnectionKind, Deadline, open},
};

/// A connection to a server, and the deadline of all that it is asked.
pub(super) struct Probe {
    pub(super) client: CasClient,
    deadline: Deadline,
    /// The process id of the server, where the system reports it.
    pub(super) pid: Option<u32>,
}

/// The longest message that is read. The expected answers are short.
const LONGEST: usize = 16 * 1024 * 1024;

impl Probe {
    pub(super) async fn open(endpoint: &Endpoint, deadline: Deadline) -> Result<Self, Error> {
        let opened = open(endpoint, None, deadline).await?;
        let kind = ConnectionKind::Joined {
            address: endpoint.to_string(),
        };
        // Without a grace period, closing the connection waits for no answer of the server.
        let builder = Builder::default()
            .role(Role::Observer)
            .max_line(LONGEST)
            .stop_grace(Duration::ZERO)
            .handshake_timeout(deadline.left());
        let start = builder.start(opened.reader, opened.writer, Peer::Foreign, None, kind);
        let client = Box::pin(start).await.map_err(|error| match error {
            Error::Timeout { .. } => {
                let kind = deadline.passed("the answer to initialize");
                endpoint.error(kind).into()
            }
            other => other,
        })?;
        Ok(Self {
            client,
            deadline,
            pid: opened.pid,
        })
    }

    /// The ids of the threads that the server has loaded.
    pub(super) async fn loaded(&self) -> Result<Vec<String>, Error> {
        let left = self.deadline.left();
        let pages = self.client.pages(ThreadLoadedListParams::default());
        timeout(left, pages.timeout(left).all())
            .await
            .unwrap_or_else(|_| Err(Error::timeout(ThreadLoadedListParams::METHOD, left)))
    }

    /// `thread/read` for each of these threads. The results are in the order of the ids.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        ids: impl Iterator<Item = &String>,
    ) -> Vec<Result<T, Error>> {
        const THREAD: &[&str] = &["thread"];
        join_all(ids.map(async |id| {
            let request = self.client.request(ThreadReadParams::new(id));
            let response = request.timeout(self.deadline.left()).raw().await?;
            let json = response.json();
            at(json, THREAD)
                .map_err(|e| Error::decode_at(ThreadReadParams::METHOD, json, THREAD, &e))
        }))
        .await
    }
}

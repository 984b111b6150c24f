//! `ServerState`: the state of a supervised server, and the stream of its changes.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use crate::error::Error;

/// The state of a [`Supervisor`](crate::Supervisor).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServerState {
    /// The server runs, and this program is connected to it.
    Running {
        /// The number of the connection: how often it was made anew so far.
        epoch: u64,
        /// The threads that could not be resumed, with the reasons. They are still kept:
        /// [`Supervisor::thread`](crate::Supervisor::thread) tries again.
        lost: Vec<(String, Error)>,
    },
    /// The connection was lost or could not be made, and another attempt is due: to start the
    /// server again, or to connect to the one that somebody else runs.
    Reconnecting {
        /// The number of the next attempt in this row, from 1.
        attempt: u32,
        /// The pause before that attempt.
        pause: Duration,
        /// The failure: [`Error::Closed`] with the exit status and the end of stderr, the error of
        /// the attempt, or the refusal of a server that shuts down once its turns have ended.
        error: Error,
    },
    /// Too many attempts in a row have failed, or another server answers at the address. This state
    /// is the last one.
    GaveUp {
        /// The last failure.
        error: Error,
    },
    /// The server or the connection was shut down. This state is the last one.
    Stopped,
}

impl ServerState {
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::GaveUp { .. } | Self::Stopped)
    }
}

/// A stream of states; see [`Supervisor::states`](crate::Supervisor::states). Ends after the last
/// one.
#[must_use = "a stream does nothing until it is polled"]
pub struct ServerStates(Pin<Box<dyn Stream<Item = ServerState> + Send>>);

impl ServerStates {
    pub(super) fn new(state: watch::Receiver<ServerState>) -> Self {
        let states = stream::unfold((state, false), |(mut state, begun)| async move {
            let over = state.borrow().is_last();
            if begun
                && (over && !state.has_changed().unwrap_or(false) || state.changed().await.is_err())
            {
                return None;
            }
            let now = state.borrow_and_update().clone();
            Some((now, (state, true)))
        });
        Self(Box::pin(states))
    }

    /// The next state, or `None` after the last one. Cancel safe.
    pub async fn next(&mut self) -> Option<ServerState> {
        self.0.next().await
    }
}

impl Stream for ServerStates {
    type Item = ServerState;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServerState>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ServerStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStates").finish_non_exhaustive()
    }
}

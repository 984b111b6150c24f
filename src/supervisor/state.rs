//! How it stands with a server that is looked after, and the stream that tells.

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

/// How it stands with the server of a [`Supervisor`](crate::Supervisor).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServerState {
    /// It runs.
    Running {
        /// How often it has been started again so far.
        restarts: u64,
        /// The threads that could not be taken up, and why. They stay registered: [`Supervisor::thread`](crate::Supervisor::thread) tries again.
        lost: Vec<(String, Error)>,
    },
    /// It has ended, or could not be started, and will be started again.
    Restarting {
        /// Which attempt of this row is next, from 1.
        attempt: u32,
        /// The pause before it.
        pause: Duration,
        /// What happened: [`Error::Closed`] with the exit status and the end of stderr, or why it could not be started.
        error: Error,
    },
    /// It has failed too often in a row. Nothing more follows.
    GaveUp {
        /// The last failure.
        error: Error,
    },
    /// It was shut down. Nothing more follows.
    Stopped,
}

impl ServerState {
    /// Nothing more follows.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::GaveUp { .. } | Self::Stopped)
    }
}

/// A stream of states; see [`Supervisor::states`](crate::Supervisor::states). It ends after the last one.
#[must_use = "a stream does nothing until it is read"]
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

    /// The next state. `None` after the last one.
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

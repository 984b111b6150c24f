//! The connection of a watch: its loss, each new attempt, and the end of the attempts.

use std::time::Duration;

use cas_sdk::{
    Error, RpcErrorKind, Supervisor,
    supervisor::{ServerState, ServerStates},
};
use serde_json::{Value, json};

use crate::{
    output::{Failure, field},
    reason::reason,
    when::length,
};

/// The states of a connection, as changes.
pub(super) struct Link {
    states: ServerStates,
    /// The number of the connection that was reported last.
    epoch: u64,
    /// Whether the loss of the connection was reported, and the next connection was not.
    pub(super) is_lost: bool,
}

/// What has changed.
pub(super) enum Change {
    /// The connection is lost, or an attempt to make it again has failed.
    Lost(Attempt),
    /// There is another connection.
    Connected,
}

/// What comes after a loss.
pub(super) struct Attempt {
    /// Whether it follows a connection, and not another attempt.
    is_first: bool,
    number: u32,
    pause: Duration,
    error: Error,
}

impl Link {
    pub(super) fn new(supervisor: &Supervisor) -> Self {
        Self {
            states: supervisor.states(),
            epoch: 0,
            is_lost: false,
        }
    }

    /// The next change. Cancel safe.
    ///
    /// # Errors
    /// If no other connection is made.
    pub(super) async fn next(&mut self) -> Result<Change, Failure> {
        loop {
            match self.states.next().await {
                Some(ServerState::Reconnecting {
                    attempt,
                    pause,
                    error,
                }) => {
                    let is_first = !std::mem::replace(&mut self.is_lost, true);
                    return Ok(Change::Lost(Attempt {
                        is_first,
                        number: attempt,
                        pause,
                        error,
                    }));
                }
                Some(ServerState::Running { epoch, .. }) if epoch > self.epoch => {
                    self.epoch = epoch;
                    return Ok(Change::Connected);
                }
                Some(ServerState::GaveUp { error }) => return Err(over(&error)),
                Some(_) => {}
                None => return Err(over(&"the connection was shut down")),
            }
        }
    }
}

/// The error that ends a watch.
pub(super) fn over(why: &dyn std::fmt::Display) -> Failure {
    format!("this can't be followed any more: {why}").into()
}

impl Attempt {
    /// The text for people.
    pub(super) fn text(&self) -> String {
        let why = self.why();
        let why = field(&why);
        if self.error.rpc_kind() == Some(RpcErrorKind::Draining) {
            return "the server is shutting down: waiting for the next one".to_owned();
        }
        let what = if self.is_first {
            "the connection is lost"
        } else {
            "no connection"
        };
        format!("{what}: {why}; trying again in {}", length(self.pause))
    }

    /// The JSON lines for programs.
    pub(super) fn events(&self) -> Vec<Value> {
        let error = self.why();
        let pause = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
        let lost = json!({"event": "connectionLost", "error": error});
        let again = json!({
            "event": "reconnecting", "attempt": self.number, "pauseMs": pause, "error": error,
        });
        let all = { self.is_first }.then_some(lost).into_iter();
        all.chain([again]).collect()
    }

    fn why(&self) -> String {
        reason(&self.error)
    }
}

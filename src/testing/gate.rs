//! `Gate`: what a scripted reply waits at until the test opens it.

use std::sync::Arc;

use tokio::sync::watch;

/// A point at which a [`Reply`](super::Reply) stops until the test lets it go on.
///
/// Clones are the same gate: put one into the script and keep one. Once open it stays open, for every reply
/// that holds on it. A gate that is never opened is no leak: the hold ends with the
/// [`MockModel`](super::MockModel) or with the connection.
///
/// ```
/// use cas_sdk::testing::{Gate, Reply};
///
/// let gate = Gate::new();
/// let reply = Reply::new().delta("thinking").hold(&gate).delta(" done");
/// // …the client has seen "thinking" and the turn is surely running…
/// gate.open();
/// # drop(reply);
/// ```
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everything pass that waits here, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Ends when the gate is open.
    pub(super) async fn passed(&self) {
        // The sender lives in `self`, so the channel can't be closed while this waits.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

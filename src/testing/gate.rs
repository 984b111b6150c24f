//! `Gate`: a point at which a scripted reply waits for the test.

use std::sync::Arc;

use tokio::sync::watch;

/// A point at which a [`Reply`](super::Reply) waits until the test opens it.
///
/// Clones share one gate: give one to the script and keep one. An open gate stays open, for every
/// reply that waits at it. A gate that is never opened leaks nothing: the wait ends with the
/// [`MockModel`](super::MockModel) or with the connection.
///
/// ```
/// use cas_sdk::testing::{Gate, Reply};
///
/// let gate = Gate::new();
/// let reply = Reply::new().delta("thinking").hold(&gate).delta(" done");
/// // …the client has seen "thinking", so the turn runs…
/// gate.open();
/// # drop(reply);
/// ```
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Creates a closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Opens the gate for all replies that wait at it, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the gate is open.
    pub(super) async fn passed(&self) {
        // `self` holds the sender, so the channel cannot close during the wait.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

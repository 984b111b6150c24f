//! The phases of turns that have changed under the lock, to be announced after it.

use tokio::sync::watch;

use super::phase::Phase;

/// The phases that have changed and have not been announced.
#[derive(Default)]
pub(super) struct News(Vec<watch::Sender<Phase>>);

impl News {
    /// Sets a phase at once, for everyone who looks at it, and keeps it to be announced.
    pub(super) fn set(&mut self, of: &watch::Sender<Phase>, phase: Phase) {
        of.send_if_modified(|now| {
            *now = phase;
            false
        });
        self.0.push(of.clone());
    }

    /// Wakes the tasks that wait for one of these phases.
    pub(super) fn announce(self) {
        for of in self.0 {
            of.send_if_modified(|_| true);
        }
    }
}

//! What has changed under the lock, to be announced after it.

use tokio::sync::{Notify, watch};

use super::phase::Phase;

/// What has changed and has not been announced.
#[derive(Default)]
pub(super) struct Changes {
    phases: Vec<watch::Sender<Phase>>,
    others: bool,
}

impl Changes {
    /// Sets a phase at once, for everyone who looks at it, and keeps it to be announced.
    pub(super) fn set_phase(&mut self, of: &watch::Sender<Phase>, phase: Phase) {
        of.send_if_modified(|now| {
            *now = phase;
            false
        });
        self.phases.push(of.clone());
    }

    /// Records that a turn has begun, ended or shown its first item, or that a thread is no longer
    /// followed.
    pub(super) fn note(&mut self) {
        self.others = true;
    }

    /// Wakes the tasks that wait for what has changed.
    pub(super) fn announce(self, others: &Notify) {
        for of in self.phases {
            of.send_if_modified(|_| true);
        }
        if self.others {
            others.notify_waiters();
        }
    }
}

//! The tracker's lock. Tasks that wait for a change are woken only after the lock is released,
//! because a waker is foreign code.

use std::{
    ops::{Deref, DerefMut},
    sync::MutexGuard,
};

use super::{State, Tracker};

/// The locked state.
pub(super) struct Locked<'a> {
    tracker: &'a Tracker,
    state: Option<MutexGuard<'a, State>>,
}

impl Tracker {
    pub(super) fn lock(&self) -> Locked<'_> {
        let state = self.state.lock();
        Locked {
            tracker: self,
            state: Some(state),
        }
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state
            .as_ref()
            .expect("it is locked until it is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state
            .as_mut()
            .expect("it is locked until it is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(mut state) = self.state.take() {
            let changes = std::mem::take(&mut state.changes);
            drop(state);
            changes.announce(&self.tracker.changed);
        }
    }
}

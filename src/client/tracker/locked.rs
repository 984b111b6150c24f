//! The tracker's lock. Tasks that wait for a phase are woken only after the lock is released,
//! because a waker is foreign code.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Phase, State};

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
}

/// The locked state.
pub(super) struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl<'a> Locked<'a> {
    pub(super) fn new(state: &'a Mutex<State>) -> Self {
        Self(Some(state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.0.as_ref().expect("it is locked until it is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_mut().expect("it is locked until it is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(mut state) = self.0.take() {
            let News(news) = std::mem::take(&mut state.news);
            drop(state);
            for of in news {
                of.send_if_modified(|_| true);
            }
        }
    }
}

//! The tracker's lock. Tasks that wait for a phase are woken only after the lock is released,
//! because a waker is foreign code.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{State, Tracker, news::News};

/// The locked state.
pub(super) struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl<'a> Locked<'a> {
    fn new(state: &'a Mutex<State>) -> Self {
        Self(Some(state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tracker {
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked::new(&self.state)
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
            let news: News = std::mem::take(&mut state.news);
            drop(state);
            news.announce();
        }
    }
}

//! The window: how many requests the server may hold at once. A server's queue is short, and it may drop what does not
//! fit without an answer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Which places a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The places that most requests share.
    Ordinary,
    /// The same places, and if none is free some that no other request may take.
    Urgent,
    /// Places of their own, for requests whose answer takes as long as their work.
    Long,
}

/// A place in the window. It is given back when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// How many requests of the long lane may be in flight.
const LONG: usize = 64;

#[derive(Debug)]
pub(crate) struct Window {
    ordinary: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Window {
    pub(crate) fn new(ordinary: usize, urgent: usize) -> Self {
        let lane =
            |places: usize| Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            ordinary: lane(ordinary),
            urgent: lane(urgent),
            long: lane(LONG),
        }
    }

    /// A place, if one is free.
    pub(crate) fn try_place(&self, lane: Lane) -> Option<Place> {
        let free = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().ok();
        match lane {
            Lane::Ordinary => free(&self.ordinary),
            Lane::Urgent => free(&self.ordinary).or_else(|| free(&self.urgent)),
            Lane::Long => free(&self.long),
        }
    }

    /// Waits for a place, first come, first served; `None` once the window is closed. Cancel safe.
    pub(crate) async fn place(&self, lane: Lane) -> Option<Place> {
        let places = match lane {
            Lane::Ordinary => &self.ordinary,
            Lane::Urgent => &self.urgent,
            Lane::Long => &self.long,
        };
        places.clone().acquire_owned().await.ok()
    }

    /// No more places are given.
    pub(crate) fn close(&self) {
        self.ordinary.close();
        self.urgent.close();
        self.long.close();
    }
}

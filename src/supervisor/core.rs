//! What the supervisor, its task and its streams share: the current client, and the kept threads.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, Weak},
};

use tokio::sync::{Notify, watch};

use super::state::ServerState;
use crate::{
    CasClient, Thread,
    client::tracker::HandlerSet,
    error::{CloseReason, Error},
    events::{Events, Filter},
    protocol::ThreadResumeParams,
    rpc::Lock,
    thread::resume::newest_turns,
};

pub(super) struct Core {
    pub(super) current: Lock<Current>,
    pub(super) state: watch::Sender<ServerState>,
}

#[derive(Default)]
pub(super) struct Current {
    pub(super) client: Option<CasClient>,
    /// The number of the connection, from 0.
    pub(super) epoch: u64,
    pub(super) threads: HashMap<String, KeptThread>,
    /// The streams that go on with the next connection.
    streams: Vec<Weak<Slot>>,
}

#[derive(Clone)]
pub(super) struct KeptThread {
    handlers: Option<HandlerSet>,
    /// Whether this program started the thread, and so answers what the server asks about it.
    started: bool,
    pub(super) thread: Option<Thread>,
}

/// Where a stream gets the next connection from.
pub(super) struct Slot {
    thread: String,
    place: Lock<Place>,
    pub(super) filled: Notify,
}

struct Place {
    /// The last connection that the stream continued on. NB. A thread may be resumed several times
    /// on one connection; the stream gets the whole connection with the first one.
    live: u64,
    next: Option<NextConnection>,
}

/// A connection for a stream.
pub(super) struct Connection {
    pub(super) epoch: u64,
    pub(super) client: CasClient,
    /// The events of the thread from now on.
    pub(super) events: Events,
}

/// The next connection for a stream.
pub(super) struct NextConnection {
    pub(super) epoch: u64,
    /// The events of the thread, from before it was resumed.
    pub(super) events: Events,
    /// The thread as it was resumed.
    pub(super) resumed: Result<Thread, Error>,
}

impl Slot {
    fn new(thread: &str, live: u64) -> Self {
        Self {
            thread: thread.to_owned(),
            place: Lock::new(Place { live, next: None }),
            filled: Notify::new(),
        }
    }

    pub(super) fn take(&self) -> Option<NextConnection> {
        let mut place = self.place.lock();
        let next = place.next.take()?;
        if next.resumed.is_ok() {
            place.live = next.epoch;
        }
        Some(next)
    }

    fn put(&self, next: NextConnection) {
        let before = self.place.lock().replace(next);
        drop(before);
        self.filled.notify_one();
    }
}

impl Place {
    /// Keeps the better of the stored connection and `next`. Returns the other one, which the
    /// caller must drop.
    fn replace(&mut self, next: NextConnection) -> Option<NextConnection> {
        let is_better = next.epoch > self.live
            && self.next.as_ref().is_none_or(|kept| {
                next.epoch > kept.epoch || next.epoch == kept.epoch && kept.resumed.is_err()
            });
        if is_better {
            self.next.replace(next)
        } else {
            Some(next)
        }
    }
}

impl Core {
    pub(super) fn new(client: CasClient) -> Self {
        let (state, _) = watch::channel(ServerState::Running {
            epoch: 0,
            lost: Vec::new(),
        });
        let current = Current {
            client: Some(client),
            ..Current::default()
        };
        Self {
            current: Lock::new(current),
            state,
        }
    }

    pub(super) fn keep(&self, thread: &Thread) {
        let client = thread.client();
        let kept = KeptThread {
            handlers: client.handler_set(),
            started: client.tracker().is_started_here(Some(thread.id())),
            thread: Some(thread.clone()),
        };
        let before = self.lock().threads.insert(thread.id().to_owned(), kept);
        drop(before);
    }

    /// Makes a stream of a thread go on with the next connection. Returns the current one; `None`
    /// if there is none.
    pub(super) fn add_stream(&self, thread: &str) -> Option<(Arc<Slot>, Connection)> {
        let mut current = self.lock();
        let client = current.client.clone()?;
        let slot = Arc::new(Slot::new(thread, current.epoch));
        current.streams.retain(|slot| slot.strong_count() > 0);
        current.streams.push(Arc::downgrade(&slot));
        let connection = Connection {
            epoch: current.epoch,
            events: client.events(Filter::all().thread(thread)),
            client,
        };
        Some((slot, connection))
    }

    /// Resumes a kept thread on this connection, and hands its events to the streams of it.
    pub(super) async fn resume(
        &self,
        client: &CasClient,
        epoch: u64,
        id: &str,
        kept: KeptThread,
    ) -> Result<Thread, Error> {
        let client = client.with_handler_set(kept.handlers.clone());
        // NB. Subscribe before the request is sent: events come before its response.
        let streams = self.streams_of(id);
        let streams: Vec<_> = streams
            .into_iter()
            .map(|slot| (slot, client.events(Filter::all().thread(id))))
            .collect();
        if kept.started {
            let tracker = client.tracker();
            tracker.opened(id, kept.handlers, true);
        }
        let mut params = ThreadResumeParams::new(id);
        if client.experimental_api() {
            // What runs is in the response, and only there.
            params = params.initial_turns_page(newest_turns(1));
        }
        let resumed = client.resume_thread(params).await;
        if let Ok(thread) = &resumed {
            self.replace_thread(id, thread);
        }
        for (slot, events) in streams {
            slot.put(NextConnection {
                epoch,
                events,
                resumed: resumed.clone(),
            });
        }
        resumed
    }

    fn streams_of(&self, thread: &str) -> Vec<Arc<Slot>> {
        let mut current = self.lock();
        current.streams.retain(|slot| slot.strong_count() > 0);
        let streams = current.streams.iter().filter_map(Weak::upgrade);
        streams.filter(|slot| slot.thread == thread).collect()
    }

    /// Replaces the handle of a kept thread.
    fn replace_thread(&self, id: &str, thread: &Thread) {
        let mut current = self.lock();
        let kept = current.threads.get_mut(id);
        let before = kept.and_then(|kept| kept.thread.replace(thread.clone()));
        drop(current);
        drop(before); // NB. After the lock: this may drop a client, and with it handlers of the user.
    }

    /// Publishes the last state, and drops what would keep the server alive.
    pub(super) fn end(&self, state: ServerState) {
        let current = std::mem::take(&mut *self.lock());
        drop(current);
        self.state.send_replace(state);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock()
    }
}

pub(super) fn is_open(client: &CasClient) -> bool {
    client.close_reason().is_none()
}

pub(super) fn shut_down() -> Error {
    Error::Closed(Arc::new(CloseReason::shutdown()))
}

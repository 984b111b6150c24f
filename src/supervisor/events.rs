//! `ThreadEvents`: the events of one thread across connections.

use std::{
    collections::VecDeque,
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::{
    StreamExt as _,
    future::{Either, select},
    stream,
};
use tokio::{sync::watch, time::Instant};

use super::{
    core::{Connection, Core, NextConnection, Slot, shut_down},
    gap::{Gap, Position, Recovered},
    state::ServerState,
};
use crate::{
    error::Error,
    events::{Event, Events},
};

/// What happens on a thread; see [`Supervisor::thread_events`](crate::Supervisor::thread_events).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ThreadEvent {
    /// The server sent an event.
    Live {
        /// The number of the connection that it came from, from 0.
        epoch: u64,
        /// The event.
        event: Event,
    },
    /// The connection was lost. [`Reconnected`](Self::Reconnected) follows, unless the supervisor
    /// gives up.
    Lost {
        /// How it ended.
        error: Error,
    },
    /// Something that was missed: it happened while there was no connection, or its event was lost
    /// with the connection. Yielded once, and never as a live event too.
    Recovered(Recovered),
    /// The thread was resumed on the next connection, and everything that could be recovered has
    /// been yielded.
    Reconnected {
        /// The number of the connection.
        epoch: u64,
        /// What was missed.
        gap: Gap,
    },
}

/// A stream of the events of a thread across connections; see
/// [`Supervisor::thread_events`](crate::Supervisor::thread_events).
#[must_use = "a stream of events does nothing but fill its queue until it is polled"]
pub struct ThreadEvents(Pin<Box<dyn Stream<Item = Result<ThreadEvent, Error>> + Send>>);

impl ThreadEvents {
    pub(super) async fn open(core: Arc<Core>, thread: &str) -> Result<Self, Error> {
        // NB. Subscribe first: whatever is recorded after this also comes as an event.
        let (slot, connection) = core.add_stream(thread).ok_or_else(shut_down)?;
        let Connection {
            epoch,
            client,
            events,
        } = connection;
        let position = Position::now(&client, thread).await?;
        let reader = Reader {
            thread: thread.to_owned(),
            state: core.state.subscribe(),
            core,
            slot,
            position,
            told: VecDeque::new(),
            at: At::Live { epoch, events },
        };
        let events = stream::unfold(reader, async |mut reader| {
            let next = reader.next().await?;
            Some((next, reader))
        });
        Ok(Self(Box::pin(events)))
    }

    /// The next event, or `None` after a shutdown of the supervisor. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lagged`] as for [`Events`](crate::Events); the items among the dropped events are
    /// recovered after the next reconnection. The server's refusal if the thread can't be resumed;
    /// the stream goes on once it can be. The last failure, once, if the supervisor has given up.
    pub async fn next(&mut self) -> Option<Result<ThreadEvent, Error>> {
        self.0.next().await
    }
}

impl Stream for ThreadEvents {
    type Item = Result<ThreadEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ThreadEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadEvents").finish_non_exhaustive()
    }
}

struct Reader {
    thread: String,
    core: Arc<Core>,
    slot: Arc<Slot>,
    state: watch::Receiver<ServerState>,
    position: Position,
    told: VecDeque<ThreadEvent>,
    at: At,
}

enum At {
    Live {
        epoch: u64,
        events: Events,
    },
    /// Between two connections.
    Lost {
        since: Instant,
    },
    End,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<ThreadEvent, Error>> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Some(Ok(told));
            }
            let since = match &mut self.at {
                At::Live { epoch, events } => {
                    let epoch = *epoch;
                    match events.next().await {
                        Some(Ok(event)) if self.position.is_repeated(&event) => {}
                        Some(Ok(event)) => {
                            self.position.note(&event);
                            if self.position.is_long() {
                                self.advance().await;
                            }
                            return Some(Ok(ThreadEvent::Live { epoch, event }));
                        }
                        Some(Err(error)) if error.close_reason().is_some() => {
                            self.lose();
                            return Some(Ok(ThreadEvent::Lost { error }));
                        }
                        Some(Err(error)) => return Some(Err(error)),
                        None => self.lose(),
                    }
                    continue;
                }
                At::Lost { since } => *since,
                At::End => return None,
            };
            match self.reconnected().await {
                Ok(next) => match next.resumed.clone() {
                    Ok(_) => self.go_on(next, since).await,
                    Err(error) => return Some(Err(error)),
                },
                Err(end) => {
                    self.at = At::End;
                    return end.map(Err);
                }
            }
        }
    }

    fn lose(&mut self) {
        let since = Instant::now();
        self.at = At::Lost { since };
    }

    async fn advance(&mut self) {
        let client = self.core.lock().client.clone();
        if let Some(client) = client {
            self.position.advance(&client, &self.thread).await;
        }
    }

    /// Waits for the next connection. The error is `None` after a shutdown.
    async fn reconnected(&mut self) -> Result<NextConnection, Option<Error>> {
        loop {
            // NB. A change after this line wakes the wait below.
            match &*self.state.borrow_and_update() {
                ServerState::GaveUp { error } => return Err(Some(error.clone())),
                ServerState::Stopped => return Err(None),
                // A connection that was lost at once may have left something in the slot, which is
                // of no use.
                ServerState::Reconnecting { .. } => {}
                ServerState::Running { .. } => {
                    if let Some(next) = self.slot.take() {
                        return Ok(next);
                    }
                    if !self.core.lock().threads.contains_key(&self.thread) {
                        return Err(None); // It is no longer kept.
                    }
                }
            }
            // Both waits are cancel safe.
            let (state, filled) = (
                pin!(self.state.changed()),
                pin!(self.slot.filled.notified()),
            );
            if let Either::Left((Err(_), _)) = select(state, filled).await {
                return Err(None);
            }
        }
    }

    async fn go_on(&mut self, next: NextConnection, since: Instant) {
        let NextConnection {
            epoch,
            events,
            resumed,
        } = next;
        let Ok(thread) = resumed else { return };
        let duration = since.elapsed();
        let mut told = Vec::new();
        let mut gap = self.position.recover(&thread, &mut told).await;
        gap.duration = duration;
        self.told
            .extend(told.into_iter().map(ThreadEvent::Recovered));
        self.at = At::Live { epoch, events };
        self.told.push_back(ThreadEvent::Reconnected { epoch, gap });
    }
}

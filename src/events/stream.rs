//! Streams of events, and streams of the notifications of one type.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::event::Event;
use crate::{
    error::{CloseCause, CloseReason, Error},
    protocol::Notification,
    rpc::{message::Run, queue::Next, router::Subscription},
};

/// A stream of events; see [`CasClient::events`](crate::CasClient::events).
///
/// Events come in the server's order. A reader that is too slow gets [`Error::Lagged`] in the place
/// of the missing events, and the stream goes on. When the connection ends, the stream yields
/// [`Error::Closed`] once, after all earlier events. After a requested shutdown, the stream just
/// ends.
#[derive(Debug)]
#[must_use = "a stream of events does nothing but fill its queue until it is polled"]
pub struct Events {
    subscription: Subscription,
    ready: VecDeque<Next>,
    ended: bool,
}

/// How many events are taken from the shared queue at once.
const TAKE: usize = 256;

impl Events {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self {
            subscription,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Returns the next event, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Returns another stream with the same filter and the same unread events.
    pub(crate) fn fork(&self) -> Self {
        Self {
            subscription: self.subscription.fork(),
            ready: self.ready.clone(),
            ended: self.ended,
        }
    }

    /// Puts events back in front of all unread events.
    pub(crate) fn unread(&mut self, events: Vec<Event>) {
        for event in events.into_iter().rev() {
            self.ready.push_front(Next::Messages(Run::one(event.0)));
        }
    }

    pub(crate) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match self.ready.front_mut() {
                Some(Next::Messages(run)) => {
                    let message = run.pop();
                    if run.is_empty() {
                        self.ready.pop_front();
                    }
                    if let Some(message) = message {
                        return Poll::Ready(Some(Ok(Event(message))));
                    }
                }
                Some(&mut Next::Lagged(skipped)) => {
                    self.ready.pop_front();
                    return Poll::Ready(Some(Err(Error::Lagged { skipped })));
                }
                Some(Next::Closed(reason)) => {
                    let end = closed(CloseReason::of(reason));
                    self.ended = true;
                    return Poll::Ready(end);
                }
                None => {
                    // A stream that is always ready would keep its task from ever yielding to other
                    // tasks.
                    let budget = ready!(tokio::task::coop::poll_proceed(cx));
                    ready!(self.subscription.queue.poll_take(cx, &mut self.ready, TAKE));
                    budget.made_progress();
                }
            }
        }
    }
}

/// What a stream yields at the end of the connection.
fn closed<T>(reason: Arc<CloseReason>) -> Option<Result<T, Error>> {
    (reason.cause != CloseCause::Shutdown).then_some(Err(Error::Closed(reason)))
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

/// A stream of notifications of one type; see
/// [`CasClient::notifications`](crate::CasClient::notifications).
#[derive(Debug)]
#[must_use = "a stream of events does nothing but fill its queue until it is polled"]
pub struct Notifications<N> {
    events: Events,
    of: PhantomData<fn() -> N>,
}

impl<N: Notification> Notifications<N> {
    pub(crate) fn new(events: Events) -> Self {
        Self {
            events,
            of: PhantomData,
        }
    }

    /// Returns the next notification, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<N, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<N, Error>>> {
        loop {
            match ready!(self.events.poll_event(cx)) {
                Some(Ok(event)) => {
                    if let Some(typed) = event.get() {
                        return Poll::Ready(Some(typed));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<N: Notification> Stream for Notifications<N> {
    type Item = Result<N, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

//! Events: what the server says without being asked, as filtered streams.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use futures_core::Stream;

use crate::{
    error::{CloseCause, CloseReason, Error},
    protocol::{Notification, ServerNotification, routing::RoutingKeys as _},
    rpc::{Incoming, MessageKind, Parts, Value, message::Run, queue::Next, router::Subscription},
};

/// One line from the server: its text, and where it belongs. Cheap to clone; all subscribers share it.
///
/// Short lines that were read together are kept together, up to 32 of them and 8 KiB: an event that is held holds those
/// too, and what was decoded of them. To keep many for long, keep their [`raw`](Self::raw) text.
#[derive(Clone)]
pub struct Event(Incoming);

impl Event {
    /// The number of the line on this connection. It rises within a stream and compares between streams; the numbers
    /// in between are of lines that the filter left out.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.0.seq()
    }

    /// When the line was read.
    #[must_use]
    pub fn received_at(&self) -> Instant {
        self.0.received_at()
    }

    /// When the server says it sent a notification, in milliseconds since the epoch.
    #[must_use]
    pub fn emitted_at_ms(&self) -> Option<u64> {
        self.0.parts().sent_at()
    }

    /// Notification, server request, or neither.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.0.kind()
    }

    /// The method; empty for a line that has none.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.parts().method().unwrap_or_default()
    }

    /// The thread that the params name, as `threadId` or `thread.id`.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        self.0.parts().thread()
    }

    /// The turn that the params name, as `turnId` or `turn.id`.
    #[must_use]
    pub fn turn_id(&self) -> Option<&str> {
        self.0.parts().turn()
    }

    /// The item that the params name, as `itemId` or `item.id`.
    #[must_use]
    pub fn item_id(&self) -> Option<&str> {
        self.0.parts().item()
    }

    /// The `item.type` of the params, such as `commandExecution`.
    #[must_use]
    pub fn item_type(&self) -> Option<&str> {
        self.0.parts().item_type()
    }

    /// The line exactly as the server wrote it, without its newline; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn raw(&self) -> &str {
        self.0.raw()
    }

    /// The JSON text of the params; `null` where there are none.
    #[must_use]
    pub fn params(&self) -> &str {
        self.0.parts().params().unwrap_or("null")
    }

    /// The params as a type of your own, which may borrow from the event.
    ///
    /// # Errors
    /// [`Error::Decode`] if they don't fit.
    pub fn params_as<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_str(self.params())
            .map_err(|e| Error::decode_part(self.method(), self.raw(), self.params(), &e))
    }

    /// The typed notification, decoded at most once for all who hold the event, when one of them asks. An unknown method
    /// is `ServerNotification::Unknown`, not an error. A reader that would have to wait for another one to decode the
    /// event decodes some of the next ones meanwhile.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit the schema, or the event is no notification.
    // Compiled for those who call it: the readers of all notifications hang on it.
    #[inline]
    pub fn notification(&self) -> Result<&ServerNotification, Error> {
        type Memo = Result<ServerNotification, serde_json::Error>;
        if self.kind() != MessageKind::Notification {
            return Err(Error::Decode {
                method: self.method().to_owned(),
                raw: self.raw().into(),
                reason: "not a notification".to_owned(),
            });
        }
        let decode = |parts: Parts<'_>, spare: Option<Value>| -> Value {
            let (method, params) = (parts.method(), parts.params());
            let (method, params) = (method.unwrap_or_default(), params.unwrap_or("null"));
            if let Some(mut spare) = spare
                && let Some(Ok(notification)) = spare.downcast_mut::<Memo>()
                && notification.refill(method, params)
            {
                return spare;
            }
            Box::new(ServerNotification::decode(method, params))
        };
        match self.0.memo::<Memo>(decode) {
            Some(Ok(notification)) => Ok(notification),
            Some(Err(error)) => Err(Error::decode_part(
                self.method(),
                self.raw(),
                self.params(),
                error,
            )),
            None => Err(Error::Invalid(
                "the event was decoded as another type".to_owned(),
            )),
        }
    }

    /// The params as notification `N`; `None` if the event is of another method.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit.
    #[must_use]
    pub fn get<N: Notification>(&self) -> Option<Result<N, Error>> {
        N::METHODS.contains(&self.method()).then(|| {
            N::decode(self.params())
                .map_err(|e| Error::decode_part(self.method(), self.raw(), self.params(), &e))
        })
    }
}

impl fmt::Debug for Event {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the text: it may hold what should not be in a log.
        f.debug_struct("Event")
            .field("seq", &self.seq())
            .field("kind", &self.kind())
            .field("method", &self.method())
            .field("thread_id", &self.thread_id())
            .field("turn_id", &self.turn_id())
            .field("item_id", &self.item_id())
            .finish_non_exhaustive()
    }
}

/// A stream of events; see [`CasClient::events`](crate::CasClient::events).
///
/// Events come in the order of the server. A reader that is too slow gets [`Error::Lagged`] at the place where events
/// are missing, and the stream goes on. The connection's end is [`Error::Closed`], once, after all that came before;
/// after a shutdown that was asked for, the stream just ends.
#[derive(Debug)]
#[must_use = "a stream of events does nothing but fill its queue until it is polled"]
pub struct Events {
    subscription: Subscription,
    ready: VecDeque<Next>,
    ended: bool,
}

/// How many events are taken from the shared queue at a time.
const TAKE: usize = 256;

impl Events {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self {
            subscription,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Only notifications of type `N`, decoded.
    ///
    /// The filter of this stream still decides what is queued; give it `N`'s method too where the traffic is heavy.
    pub fn of<N: Notification>(self) -> TypedEvents<N> {
        TypedEvents {
            events: self,
            of: PhantomData,
        }
    }

    /// The next event. `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Another stream of the same, with the same still to be read.
    pub(crate) fn fork(&self) -> Self {
        Self {
            subscription: self.subscription.fork(),
            ready: self.ready.clone(),
            ended: self.ended,
        }
    }

    /// Puts events back, to be read again before all others.
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
                    // A stream that is always ready would keep its task from ever giving way to others.
                    let budget = ready!(tokio::task::coop::poll_proceed(cx));
                    ready!(self.subscription.queue.poll_take(cx, &mut self.ready, TAKE));
                    budget.made_progress();
                }
            }
        }
    }
}

/// What the end of the connection is to a stream.
fn closed<T>(reason: Arc<CloseReason>) -> Option<Result<T, Error>> {
    (reason.cause != CloseCause::Shutdown).then_some(Err(Error::Closed(reason)))
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

/// A stream of notifications of one type; see [`Events::of`].
#[derive(Debug)]
#[must_use = "a stream of events does nothing but fill its queue until it is polled"]
pub struct TypedEvents<N> {
    events: Events,
    of: PhantomData<fn() -> N>,
}

impl<N: Notification> TypedEvents<N> {
    /// The next notification. `None` at the end.
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

impl<N: Notification> Stream for TypedEvents<N> {
    type Item = Result<N, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

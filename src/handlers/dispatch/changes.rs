//! `PendingRequestChanges`: the requests that wait, as they come and are settled.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;

use super::{Dispatch, PendingRequest};

/// A change of the requests that wait; see [`PendingRequestChanges`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PendingRequestChange {
    /// The request waits for an answer.
    Added(PendingRequest),
    /// The request no longer waits. [`PendingRequest::settled`] says why.
    Settled(PendingRequest),
}

/// The requests that wait for an answer, as they come and are settled; see
/// [`CasClient::pending_request_changes`](crate::CasClient::pending_request_changes).
///
/// A slow reader skips the requests that were settled before it could see them, so the stream never
/// holds more than the requests that wait. It ends with the connection.
#[must_use = "a stream does nothing until it is polled"]
pub struct PendingRequestChanges {
    dispatch: Weak<Dispatch>,
    known: Vec<PendingRequest>,
    ready: VecDeque<PendingRequestChange>,
    changed: BoxFuture<'static, Option<watch::Receiver<()>>>,
    ended: bool,
}

impl Dispatch {
    /// The requests that wait for an answer, as they come and are settled.
    pub(crate) fn pending_changes(&self) -> PendingRequestChanges {
        PendingRequestChanges::new(self.myself.clone(), self.changes.subscribe())
    }
}

impl PendingRequestChanges {
    fn new(dispatch: Weak<Dispatch>, mut changes: watch::Receiver<()>) -> Self {
        // The requests that wait already are the first change.
        changes.mark_changed();
        Self {
            dispatch,
            known: Vec::new(),
            ready: VecDeque::new(),
            changed: changed(changes),
            ended: false,
        }
    }

    /// The next change; `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<PendingRequestChange> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<PendingRequestChange>> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Poll::Ready(Some(change));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.changed.poll_unpin(cx)) {
                Some(changes) => self.changed = changed(changes),
                None => self.ended = true,
            }
            self.compare();
        }
    }

    /// Finds out what has changed since the last time.
    fn compare(&mut self) {
        let dispatch = self.dispatch.upgrade();
        let now = dispatch.as_ref().map(|d| d.pending()).unwrap_or_default();
        self.ended |= dispatch.is_none_or(|dispatch| dispatch.table.lock().closed);
        let has = |all: &[PendingRequest], one: &PendingRequest| {
            all.iter().any(|other| other.seq() == one.seq())
        };
        let before = std::mem::replace(&mut self.known, now);
        let settled = before.iter().filter(|request| !has(&self.known, request));
        let settled = settled.cloned().map(PendingRequestChange::Settled);
        self.ready.extend(settled);
        let added = self.known.iter().filter(|request| !has(&before, request));
        self.ready
            .extend(added.cloned().map(PendingRequestChange::Added));
    }
}

/// Waits for the next change; `None` if there can be none.
fn changed(mut changes: watch::Receiver<()>) -> BoxFuture<'static, Option<watch::Receiver<()>>> {
    async move { changes.changed().await.ok().map(|()| changes) }.boxed()
}

impl Stream for PendingRequestChanges {
    type Item = PendingRequestChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl fmt::Debug for PendingRequestChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingRequestChanges")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

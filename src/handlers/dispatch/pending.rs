//! The requests that wait for an answer, and how they are answered from outside of a handler.

use std::{fmt, sync::Weak, time::Instant};

use tokio::sync::watch;

use super::{Dispatch, Open, settled::Settled};
use crate::{
    error::Error,
    handlers::{decision::Decision, explicit::RequestAnswer, request::request_id},
    protocol::{FileUpdateChange, RequestId, ServerRequest, from_value, routing::RoutingKeys as _},
    rpc::Incoming,
};

/// A request of the server that waits for an answer; see
/// [`CasClient::pending_requests`](crate::CasClient::pending_requests). Clones are about the same
/// request.
///
/// A request that the server sends again, as it does when its thread is resumed, is the same
/// request.
#[derive(Clone)]
#[non_exhaustive]
pub struct PendingRequest {
    /// The id of the request.
    pub id: RequestId,
    /// The method of the request.
    pub method: String,
    /// The thread that the request names.
    pub thread_id: Option<String>,
    /// The turn that the request names.
    pub turn_id: Option<String>,
    /// The item that the request names.
    pub item_id: Option<String>,
    /// When the request was received.
    pub since: Instant,
    message: Incoming,
    is_ours: bool,
    settled: watch::Receiver<Option<Settled>>,
    dispatch: Weak<Dispatch>,
}

impl PendingRequest {
    fn new(open: &Open, dispatch: Weak<Dispatch>) -> Self {
        let message = open.message.clone();
        let parts = message.parts();
        let text = |part: Option<&str>| part.map(str::to_owned);
        Self {
            id: request_id(&message),
            method: text(parts.method()).unwrap_or_default(),
            thread_id: text(parts.thread()),
            turn_id: text(parts.turn()),
            item_id: text(parts.item()),
            since: message.received_at(),
            is_ours: open.is_ours,
            settled: open.settled.subscribe(),
            dispatch,
            message,
        }
    }

    /// The number of the request's line on this connection.
    pub(super) fn seq(&self) -> u64 {
        self.message.seq()
    }

    /// The request with its params. An unknown method is `ServerRequest::Unknown`, not an error.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit the schema.
    pub fn request(&self) -> Result<ServerRequest, Error> {
        ServerRequest::decode(&self.method, self.json())
            .map_err(|e| Error::decode_part(&self.method, self.message.raw(), self.json(), &e))
    }

    /// The JSON text of the params; `null` if there are none.
    #[must_use]
    pub fn json(&self) -> &str {
        self.message.parts().params().unwrap_or("null")
    }

    /// The file changes that an `item/fileChange/requestApproval` is about. The request does not
    /// carry them: they belong to the item that was started before it. Empty if that item was not
    /// seen, as after a join, where the item is in the snapshot.
    #[must_use]
    pub fn file_changes(&self) -> Vec<FileUpdateChange> {
        let parts = self.message.parts();
        let dispatch = self.dispatch.upgrade();
        let changes = dispatch.and_then(|d| d.items.changes(parts.thread(), parts.item()));
        changes
            .and_then(|changes| from_value(&changes).ok())
            .unwrap_or_default()
    }

    /// Whether this client answers the request by itself, with its handlers. Other requests belong
    /// to other clients.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// The decisions that the server accepts for this request, the most permissive first. Empty if
    /// the request does not ask for a decision: questions, forms, tool calls.
    #[must_use]
    pub fn offers(&self) -> Vec<Decision> {
        let dispatch = self.dispatch.upgrade();
        dispatch
            .map(|dispatch| dispatch.offers(&self.message))
            .unwrap_or_default()
    }

    /// Why the request no longer waits; `None` while it waits.
    #[must_use]
    pub fn settled(&self) -> Option<Settled> {
        *self.settled.borrow()
    }

    /// Waits until the request no longer waits. Cancel safe.
    pub async fn until_settled(&self) -> Settled {
        let mut settled = self.settled.clone();
        match settled.wait_for(Option::is_some).await {
            Ok(settled) => (*settled).unwrap_or(Settled::Closed),
            Err(_) => Settled::Closed,
        }
    }

    /// Accepts once. The same as `answer(Decision::Accept)`.
    ///
    /// # Errors
    /// Same errors as [`answer`](Self::answer).
    pub async fn accept(&self) -> Result<(), Error> {
        self.answer(Decision::Accept).await
    }

    /// Declines: the turn goes on, and the model learns of it. The same as
    /// `answer(Decision::Decline)`.
    ///
    /// # Errors
    /// Same errors as [`answer`](Self::answer).
    pub async fn decline(&self) -> Result<(), Error> {
        self.answer(Decision::Decline).await
    }

    /// Answers the request, in the place of the handlers or of the client that runs the session.
    /// The answer is never wider than what the server [offers](Self::offers): a decision to accept
    /// falls back to the next stricter one that accepts.
    ///
    /// Returns when the answer is on its way. With several clients, the first answer wins; the item
    /// shows which one that was. Once the future has been polled, the answer is sent even if the
    /// future is dropped.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// for request in client.pending_requests() {
    ///     println!("{}: {:?}", request.method, request.offers());
    ///     request.decline().await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotPending`] if the request no longer waits, [`Error::Observer`] for a request of
    /// others if this client is an [`Observer`](crate::client::Role::Observer), [`Error::Invalid`]
    /// for an answer of another kind than the request asks for, and for one that the server does
    /// not offer. Nothing is sent then.
    pub async fn answer(&self, answer: impl Into<RequestAnswer>) -> Result<(), Error> {
        let answer = answer.into();
        match (self.settled(), self.dispatch.upgrade()) {
            (None, Some(dispatch)) => dispatch.answer_for(&self.message, answer).await,
            (settled, _) => Err(self.gone(settled.unwrap_or(Settled::Closed))),
        }
    }

    fn gone(&self, settled: Settled) -> Error {
        not_pending(&self.message, settled.reason())
    }
}

impl Dispatch {
    /// The requests that wait for an answer, the oldest first.
    pub(crate) fn pending(&self) -> Vec<PendingRequest> {
        let describe = |open: &Open| PendingRequest::new(open, self.myself.clone());
        let mut pending: Vec<_> = self.table.lock().open.values().map(describe).collect();
        pending.sort_by_key(PendingRequest::seq);
        pending
    }
}

/// The error for a request that no longer waits.
pub(super) fn not_pending(message: &Incoming, reason: &str) -> Error {
    Error::NotPending {
        method: message.parts().method().unwrap_or_default().to_owned(),
        id: request_id(message),
        reason: reason.to_owned(),
    }
}

impl fmt::Debug for PendingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The params are not shown: they may hold secrets that should not be in a log.
        f.debug_struct("PendingRequest")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("thread_id", &self.thread_id)
            .field("turn_id", &self.turn_id)
            .field("item_id", &self.item_id)
            .field("is_ours", &self.is_ours)
            .field("settled", &self.settled())
            .finish_non_exhaustive()
    }
}

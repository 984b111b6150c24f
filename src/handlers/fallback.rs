//! Requests that no other handler claims: a trait for answering them, and a stream of responders
//! for taking them.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use futures_core::Stream;
use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    answer::Answer, context::RequestContext, error::HandlerError, request::request_id,
    user_code::Asked,
};
use crate::protocol::routing::RoutingKeys as _;
use crate::{
    error::Error,
    protocol::{RequestId, ServerRequest},
    rpc::Incoming,
};

/// Answers the server's requests that nothing else claims: methods without a handler, methods that
/// are newer than this crate, and calls of tools that are not registered.
///
/// The returned value is sent as it is, so it can have the wrong form; the other handlers can't
/// send a wrong form. A closure `|request: UnclaimedRequest, cx| async { … }` is a `Fallback` too.
pub trait Fallback: Send + Sync + 'static {
    /// Returns the `result` of the response.
    ///
    /// # Errors
    /// The server gets a JSON-RPC error with the code and the text of the [`HandlerError`]. To
    /// refuse as if there were no fallback, return [`UnclaimedRequest::refuse`].
    fn answer(
        &self,
        request: UnclaimedRequest,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Value, HandlerError>> + Send;
}

impl<F, R> Fallback for F
where
    F: Fn(UnclaimedRequest, RequestContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Value, HandlerError>> + Send,
{
    fn answer(
        &self,
        request: UnclaimedRequest,
        cx: RequestContext,
    ) -> impl Future<Output = Result<Value, HandlerError>> + Send {
        self(request, cx)
    }
}

impl<H: Fallback> Asked<UnclaimedRequest, Value> for H {
    fn ask(
        &self,
        request: UnclaimedRequest,
        cx: RequestContext,
    ) -> BoxFuture<'_, Result<Value, HandlerError>> {
        Box::pin(self.answer(request, cx))
    }
}

/// A server request that no handler claims. Cheap to clone.
#[derive(Clone)]
pub struct UnclaimedRequest(Incoming);

impl UnclaimedRequest {
    pub(crate) fn new(message: Incoming) -> Self {
        Self(message)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.parts().method().unwrap_or_default()
    }

    /// The id of the request.
    #[must_use]
    pub fn id(&self) -> RequestId {
        request_id(&self.0)
    }

    /// The thread that the params name.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        self.0.parts().thread()
    }

    /// The turn that the params name.
    #[must_use]
    pub fn turn_id(&self) -> Option<&str> {
        self.0.parts().turn()
    }

    /// The item that the params name.
    #[must_use]
    pub fn item_id(&self) -> Option<&str> {
        self.0.parts().item()
    }

    /// When the request was read.
    #[must_use]
    pub fn received_at(&self) -> Instant {
        self.0.received_at()
    }

    /// The line exactly as the server wrote it.
    #[must_use]
    pub fn line(&self) -> &str {
        self.0.raw()
    }

    /// The JSON text of the params; `null` if there are none.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.parts().params().unwrap_or("null")
    }

    /// Decodes the params as your own type.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit.
    pub fn params_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.json())
            .map_err(|e| Error::decode_part(self.method(), self.line(), self.json(), &e))
    }

    /// Decodes the typed request. An unknown method is `ServerRequest::Unknown`, not an error.
    ///
    /// # Errors
    /// [`Error::Decode`] if the params don't fit the schema.
    pub fn typed(&self) -> Result<ServerRequest, Error> {
        ServerRequest::decode(self.method(), self.json())
            .map_err(|e| Error::decode_part(self.method(), self.line(), self.json(), &e))
    }

    /// Returns the answer that is sent without a fallback: the method's refusal, or the error that
    /// the method is not handled.
    ///
    /// # Errors
    /// If the method has no refusal.
    pub fn refuse(&self) -> Result<Value, HandlerError> {
        Answer::refusal(self.method()).into_result()
    }
}

impl fmt::Debug for UnclaimedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request, and the way to answer it once. Dropping it answers with an error.
#[must_use = "a responder that is dropped answers an error"]
pub struct Responder {
    request: UnclaimedRequest,
    answer: oneshot::Sender<Answer>,
}

impl Responder {
    pub(crate) fn new(request: UnclaimedRequest, answer: oneshot::Sender<Answer>) -> Self {
        Self { request, answer }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &UnclaimedRequest {
        &self.request
    }

    /// Answers with any value as the `result`. Does nothing if the request has been withdrawn.
    ///
    /// # Errors
    /// [`Error::Encode`] if the value can't be written as JSON; the server then gets an error.
    pub fn respond(self, result: &impl Serialize) -> Result<(), Error> {
        let body =
            serde_json::to_string(result).map_err(|e| Error::encode(self.request.method(), &e))?;
        let _ = self.answer.send(Answer::result(body));
        Ok(())
    }

    /// Answers with a JSON-RPC error.
    pub fn error(self, code: i32, message: &str, data: Option<Value>) {
        let _ = self.answer.send(Answer::error_with(code, message, data));
    }

    /// Answers as if nobody took the request: with the method's refusal, or with the error that the
    /// method is not handled.
    pub fn refuse(self) {
        let _ = self.answer.send(Answer::refusal(self.request.method()));
    }

    /// Waits until the request no longer needs an answer: the server has settled it, its turn has
    /// ended, or the connection has ended. Cancel safe.
    pub async fn withdrawn(&mut self) {
        self.answer.closed().await;
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// The requests that no handler claims, each with its responder; see
/// [`CasClient::unclaimed_requests`](crate::CasClient::unclaimed_requests).
#[derive(Debug)]
#[must_use = "requests wait in this stream; dropped, they are refused"]
pub struct UnclaimedRequests(pub(super) mpsc::Receiver<Responder>);

impl UnclaimedRequests {
    /// Returns the next request, or `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Responder> {
        self.0.recv().await
    }
}

impl Drop for UnclaimedRequests {
    fn drop(&mut self) {
        self.0.close();
        while let Ok(responder) = self.0.try_recv() {
            responder.refuse();
        }
    }
}

impl Stream for UnclaimedRequests {
    type Item = Responder;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Responder>> {
        self.0.poll_recv(cx)
    }
}

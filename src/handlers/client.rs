//! The client's side of handlers: which handlers its threads get, and which requests wait for an
//! answer.

use std::{any::Any, sync::Arc};

use super::{
    dispatch::{Dispatch, PendingRequest, PendingRequestChanges},
    fallback::UnclaimedRequests,
    set::Handlers,
};
use crate::{
    client::{handle::CasClient, server_info::ServerInfo},
    error::Error,
};

impl CasClient {
    /// Returns a handle to the same connection with other handlers for its threads. The threads
    /// that are started, resumed or forked through the handle, by any method of the client, get
    /// these handlers, and the client's where there is none here. So do the threads of the
    /// sub-agents that they spawn. If several handles open a thread, the last one decides.
    ///
    /// For a thread whose opener is not known, the strictest of the policies of the client and of
    /// all its threads decides, including closed threads.
    #[must_use]
    pub fn with_handlers(&self, handlers: Handlers) -> Self {
        self.warn_of_uncalled_handlers(&handlers);
        let handlers = Arc::new(handlers.over(&self.handlers()));
        self.with_handler_set(Some(handlers))
    }

    /// The server's requests that wait for an answer, the oldest first: those of this client, and
    /// those of other clients of the server as far as the server sends them here. The server sends
    /// the requests of threads that this connection follows, and of all sub-agents that are spawned
    /// while it is there.
    #[must_use]
    pub fn pending_requests(&self) -> Vec<PendingRequest> {
        self.dispatch().pending()
    }

    /// Streams the requests that wait for an answer, as they come and are settled. The stream begins
    /// with those that wait already.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) {
    /// use cas_sdk::handlers::PendingRequestChange as Change;
    /// let mut changes = client.pending_request_changes();
    /// while let Some(change) = changes.next().await {
    ///     match change {
    ///         Change::Added(request) => println!("{} waits", request.method),
    ///         Change::Settled(request) => println!("{}: {:?}", request.method, request.settled()),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn pending_request_changes(&self) -> PendingRequestChanges {
        self.dispatch().pending_changes()
    }

    /// Streams the server's requests that no handler claims, from now on, for a program that passes
    /// them on. A registered [`Fallback`](super::Fallback) takes precedence. Calling this again
    /// ends the previous stream.
    ///
    /// A request stays open until its [`Responder`](super::Responder) has answered. At most 256
    /// requests are open; further requests are answered with -32001.
    pub fn unclaimed_requests(&self) -> UnclaimedRequests {
        UnclaimedRequests(self.dispatch().take_unclaimed())
    }

    /// The handlers of the threads that are opened through this handle.
    pub(crate) fn handlers(&self) -> Arc<Handlers> {
        let own = self.handler_set();
        let own = own.and_then(|handlers| Arc::downcast::<Handlers>(handlers).ok());
        own.unwrap_or_else(|| self.dispatch().threads().base().clone())
    }

    /// Fails early for tools that the server would refuse.
    pub(crate) fn check_tools(&self) -> Result<(), Error> {
        self.handlers().tools.check()
    }

    /// Warns about the handlers that this server never calls.
    pub(crate) fn warn_of_uncalled_handlers(&self, handlers: &Handlers) {
        handlers.warn_of_uncalled(self.server().and_then(ServerInfo::version));
    }

    pub(super) fn dispatch(&self) -> &Dispatch {
        let answering: &dyn Any = self.answering();
        let dispatch = answering.downcast_ref();
        dispatch.expect("a client is built with a dispatch")
    }
}

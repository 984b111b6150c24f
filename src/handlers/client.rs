//! What a client has to do with handlers: which ones its threads get, and which requests wait for an answer.

use std::{any::Any, sync::Arc};

use super::{
    dispatch::{Dispatch, PendingRequest},
    fallback::UnclaimedRequests,
    set::Handlers,
};
use crate::{
    client::{handle::CasClient, server_info::ServerInfo},
    error::Error,
};

impl CasClient {
    /// A handle to the same connection whose threads have these handlers, and the client's where it has none: those that
    /// are started, resumed or forked through it, by whichever method of the client, and the threads of the sub-agents that
    /// they spawn. The handle that opened a thread last decides.
    ///
    /// For a thread whose opener is not known, the strictest of the policies of the client and all of its threads decides,
    /// those of closed threads included.
    #[must_use]
    pub fn with_handlers(&self, handlers: Handlers) -> Self {
        self.warn_of_uncalled_handlers(&handlers);
        let handlers = Arc::new(handlers.over(&self.handlers()));
        self.with_handler_set(Some(handlers))
    }

    /// The server's requests that wait for an answer, the oldest first.
    #[must_use]
    pub fn pending_requests(&self) -> Vec<PendingRequest> {
        self.dispatch().pending()
    }

    /// The server's requests that no handler claims, from now on: for a program that passes them on. A registered
    /// [`Fallback`](super::Fallback) goes first. Calling this again ends the previous stream.
    ///
    /// A request stays open until its [`Responder`](super::Responder) has answered; 256 are open at most, then the server
    /// gets -32001.
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

    /// Warns of those handlers that this server never calls.
    pub(crate) fn warn_of_uncalled_handlers(&self, handlers: &Handlers) {
        handlers.warn_of_uncalled(self.server().and_then(ServerInfo::version));
    }

    fn dispatch(&self) -> &Dispatch {
        let answering: &dyn Any = self.answering();
        let dispatch = answering.downcast_ref();
        dispatch.expect("a client is built with a dispatch")
    }
}

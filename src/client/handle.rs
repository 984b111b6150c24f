//! A cheap handle to one connection: what clones share, how a request is sent, how the connection
//! is ended.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
};

use crate::{
    client::{
        connection_task::Supervised,
        role::Role,
        server_info::ServerInfo,
        tracker::{HandlerSet, Tracker},
    },
    error::{CloseCause, CloseReason, Error},
    protocol::{Call, InitializeParams, pointer::at},
    rpc::{
        Connection,
        error::NoAnswer,
        outgoing::OutgoingRequest,
        queue::Bounds,
        reply::{OnReply, RawReply},
        router::{Matcher, Subscription},
        tap::Taps,
        window::Lane,
    },
    transport::ConnectionKind,
};

/// A connection to one `codex app-server`. Clones share the connection; dropping the last clone
/// ends the server.
#[derive(Clone)]
pub struct CasClient {
    shared: Arc<Shared>,
    /// `None` in handles that must not keep the server alive, such as those passed to handlers.
    _owner: Option<Arc<Owner>>,
    /// The handlers of the threads that are opened through this handle, if they are not the
    /// client's.
    handlers: Option<HandlerSet>,
}

/// The part of the request dispatcher that a client needs.
pub(crate) trait Answering: Any + Send + Sync {
    /// Called once, with the client that handlers get.
    fn attach(&self, client: WeakClient);

    /// Called with each request before it is sent. Returns what the reader runs when the response
    /// comes, `then` included.
    fn sending(
        &self,
        method: &str,
        params: &str,
        handlers: Option<&HandlerSet>,
        then: Option<OnReply>,
    ) -> Option<OnReply>;
}

struct Shared {
    connection: Arc<Connection>,
    tracker: Arc<Tracker>,
    answering: Arc<dyn Answering>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<Option<Arc<CloseReason>>>,
    pid: Option<u32>,
    options: Options,
    server: OnceLock<ServerInfo>,
}

/// Signals the connection task when the last client is dropped; the task does the rest.
struct Owner {
    stop: watch::Sender<bool>,
    connection: Arc<Connection>,
    runtime: Handle,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // A single-threaded runtime makes no progress unless something drives it, and nothing may
        // ever drive it again. The server still exits at the end of its input.
        let is_ours = || Handle::try_current().is_ok_and(|now| now.id() == self.runtime.id());
        if self.runtime.runtime_flavor() == RuntimeFlavor::CurrentThread && !is_ours() {
            self.connection.outbox.close_if_idle();
        }
    }
}

pub(crate) struct Options {
    pub(crate) experimental_api: bool,
    pub(crate) request_timeout: Duration,
    pub(crate) urgent_timeout: Duration,
    pub(crate) bounds: Bounds,
    pub(crate) kind: ConnectionKind,
    pub(crate) role: Role,
}

pub(crate) struct Parts {
    pub(crate) connection: Arc<Connection>,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) answering: Arc<dyn Answering>,
    pub(crate) supervised: Supervised,
    pub(crate) pid: Option<u32>,
    pub(crate) options: Options,
}

impl CasClient {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            connection,
            tracker,
            answering,
            supervised: Supervised { stop, done },
            pid,
            options,
        } = parts;
        let owner = Arc::new(Owner {
            stop: stop.clone(),
            connection: connection.clone(),
            runtime: Handle::current(),
        });
        let server = OnceLock::new();
        let shared = Arc::new(Shared {
            connection,
            tracker,
            answering,
            stop,
            done,
            pid,
            options,
            server,
        });
        shared.answering.attach(WeakClient(Arc::downgrade(&shared)));
        Self {
            shared,
            _owner: Some(owner),
            handlers: None,
        }
    }

    pub(crate) async fn handshake(
        &self,
        params: &InitializeParams,
        deadline: Duration,
    ) -> Result<(), Error> {
        const METHOD: &str = InitializeParams::METHOD;
        let params = serde_json::to_string(params).map_err(|e| Error::encode(METHOD, &e))?;
        let reply = self
            .send(METHOD.into(), params.into(), Some(deadline), false, None)
            .await
            .map_err(|error| match error {
                // Nothing depends on whether a server that is gone has heard it.
                Error::Indeterminate { reason, .. } => Error::clone(&reason),
                other => other,
            })?;
        let info = serde_json::from_str(reply.result())
            .map_err(|e| Error::decode(METHOD, reply.result(), &e))?;
        let _ = self.shared.server.set(info);
        self.shared.connection.notify("initialized", None);
        Ok(())
    }

    /// What the server said about itself in the handshake.
    #[must_use]
    pub fn server(&self) -> Option<&ServerInfo> {
        self.shared.server.get()
    }

    /// The process id of the server, if it is a child of this process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.shared.pid
    }

    /// How this client reached its server, and so whose server it is.
    #[must_use]
    pub fn connection_kind(&self) -> &ConnectionKind {
        &self.shared.options.kind
    }

    /// The role of this client towards the threads that others have started on its server.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared.options.role
    }

    /// Ends the server: closes its input, sends SIGTERM, then sends SIGKILL, each after the
    /// builder's [`stop_grace`](crate::Builder::stop_grace). Returns when the server is gone, with
    /// the reason the connection ended. For a server that this client joined, only the connection
    /// ends.
    pub async fn shutdown(&self) -> Arc<CloseReason> {
        self.shared.stop.send_replace(true);
        self.closed().await
    }

    /// Waits until the connection has ended, for any reason, and returns the reason.
    pub async fn closed(&self) -> Arc<CloseReason> {
        let mut done = self.shared.done.clone();
        match done.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        }
        .unwrap_or_else(|| Arc::new(CloseReason::new(CloseCause::RuntimeEnded)))
    }

    pub(crate) fn taps(&self) -> &Arc<Taps> {
        &self.shared.connection.taps
    }

    pub(crate) fn close_reason(&self) -> Option<Arc<CloseReason>> {
        let closed = self.shared.connection.router.closed()?;
        Some(CloseReason::of(&closed))
    }

    pub(crate) fn tracker(&self) -> &Arc<Tracker> {
        &self.shared.tracker
    }

    /// Returns a client that does not keep the server alive.
    pub(crate) fn weak(&self) -> WeakClient {
        WeakClient(Arc::downgrade(&self.shared))
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.shared.connection
    }

    pub(crate) fn subscribe(&self, matcher: Matcher) -> Subscription {
        let (router, bounds) = (&self.shared.connection.router, self.shared.options.bounds);
        router.subscribe(matcher, bounds)
    }

    pub(crate) fn answering(&self) -> &dyn Answering {
        &*self.shared.answering
    }

    /// The handlers of this handle, if they are not the client's.
    pub(crate) fn handler_set(&self) -> Option<HandlerSet> {
        self.handlers.clone()
    }

    /// Returns the same connection with the handlers of another handle.
    pub(crate) fn with_handler_set(&self, handlers: Option<HandlerSet>) -> Self {
        Self {
            handlers,
            ..self.clone()
        }
    }

    pub(crate) fn experimental_api(&self) -> bool {
        self.shared.options.experimental_api
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.options.request_timeout
    }

    pub(crate) fn urgent_timeout(&self) -> Duration {
        self.shared.options.urgent_timeout
    }

    /// Sends a request made from its parts.
    pub(crate) async fn send(
        &self,
        method: Cow<'static, str>,
        params: Arc<str>,
        deadline: Option<Duration>,
        urgent: bool,
        on_reply: Option<OnReply>,
    ) -> Result<RawReply, Error> {
        self.check_role(&method, &params)?;
        let answering = &self.shared.answering;
        let on_reply = answering.sending(&method, &params, self.handlers.as_ref(), on_reply);
        let lane = if urgent {
            Lane::Urgent
        } else if deadline.is_none_or(|after| after > self.request_timeout()) {
            Lane::Long
        } else {
            Lane::Ordinary
        };
        let connection = &self.shared.connection;
        let answer = match connection.request(OutgoingRequest {
            method: method.clone(),
            params: params.clone(),
            lane,
            on_reply,
        }) {
            Ok(mut slot) => connection.answer(&mut slot, deadline).await,
            Err(none) => Err(none),
        };
        match answer {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(source)) => Err(Error::Rpc {
                method: method.into_owned(),
                source: source.into(),
            }),
            Err(NoAnswer::Closed(closed)) => Err(Error::Closed(CloseReason::of(&closed))),
            Err(NoAnswer::Lost(closed)) => Err(Error::Indeterminate {
                method: method.into_owned(),
                id: at(&params, &["clientUserMessageId"]).ok(),
                reason: Arc::new(Error::Closed(CloseReason::of(&closed))),
            }),
            Err(NoAnswer::TooLong(len, head)) => Err(Error::Decode {
                method: method.into_owned(),
                raw: (*head).into(),
                reason: format!("the answer has {len} bytes, more than the builder's `max_line`"),
            }),
            Err(NoAnswer::NotSent(reason)) => Err(Error::NotSent {
                method: method.into_owned(),
                after: deadline.unwrap_or_default(),
                reason: reason.to_owned(),
            }),
            Err(NoAnswer::TooLarge { len, max }) => Err(Error::Invalid(format!(
                "{method} has {len} bytes, and a server on a socket takes no more than {max} in a message"
            ))),
            Err(NoAnswer::Timeout) => Err(Error::Timeout {
                method: method.into_owned(),
                after: deadline.unwrap_or_default(),
            }),
        }
    }

    /// Refuses a request that would change a thread of others, if this client is an observer.
    fn check_role(&self, method: &str, params: &str) -> Result<(), Error> {
        if self.role() != Role::Observer || Role::is_harmless(method) {
            return Ok(());
        }
        match at::<String>(params, &["threadId"]) {
            Ok(thread_id) if !self.tracker().is_started_here(Some(&thread_id)) => {
                Err(Error::Observer {
                    method: method.to_owned(),
                    thread_id: Some(thread_id),
                })
            }
            _ => Ok(()),
        }
    }

    /// Refuses an experimental request that the server would refuse.
    pub(crate) fn check<C: Call>(&self) -> Result<(), Error> {
        if C::EXPERIMENTAL && !self.shared.options.experimental_api {
            let text = format!(
                "{} is experimental; call `experimental_api(true)` on the builder to use it",
                C::METHOD
            );
            return Err(Error::Invalid(text));
        }
        Ok(())
    }
}

impl fmt::Debug for CasClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CasClient")
            .field("pid", &self.shared.pid)
            .finish_non_exhaustive()
    }
}

/// A client that does not keep the connection alive.
pub(crate) struct WeakClient(Weak<Shared>);

impl WeakClient {
    pub(crate) fn upgrade(&self) -> Option<CasClient> {
        self.0.upgrade().map(|shared| CasClient {
            shared,
            _owner: None,
            handlers: None,
        })
    }
}

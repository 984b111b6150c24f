//! The front door: a cheap handle to one connection, and the requests made through it.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
};

use crate::{
    client::{builder::Builder, connection_task::Supervised, request::Request, tracker::Tracker},
    error::{CloseCause, CloseReason, Error},
    events::{event::Events, filter::Filter},
    handlers::{
        Handlers,
        dispatch::{Dispatch, PendingRequest},
    },
    protocol::pointer::readable,
    protocol::{self, Call},
    rpc::{
        Connection,
        connection::OutgoingRequest,
        error::NoAnswer,
        queue::Bounds,
        reply::{OnReply, RawReply},
        router::Matcher,
        window::Lane,
    },
    transport::ConnectionKind,
};

/// A connection to one `codex app-server`. Clones share it; when the last one is dropped the server is ended.
#[derive(Clone)]
pub struct CasClient {
    shared: Arc<Shared>,
    /// `None` in handles that must not keep the server alive, such as those that handlers get.
    _owner: Option<Arc<Owner>>,
    /// The handlers of the threads that are opened through this handle, if not the client's.
    handlers: Option<Arc<Handlers>>,
}

struct Shared {
    connection: Arc<Connection>,
    dispatch: Arc<Dispatch>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<Option<Arc<CloseReason>>>,
    pid: Option<u32>,
    options: Options,
    server: OnceLock<ServerInfo>,
}

/// Flips the switch when the last client is dropped; the supervisor does the rest.
struct Owner {
    stop: watch::Sender<bool>,
    connection: Arc<Connection>,
    runtime: Handle,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // A runtime of one thread does nothing unless somebody drives it, and nobody may ever again. The server goes by
        // the end of its input all the same.
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
}

pub(crate) struct Parts {
    pub(crate) connection: Arc<Connection>,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) supervised: Supervised,
    pub(crate) pid: Option<u32>,
    pub(crate) options: Options,
}

readable! {
    /// What the server said of itself in the handshake.
    #[derive(Debug, Clone)]
    #[non_exhaustive]
    pub struct ServerInfo {
        maybe {
            /// `<client>/<version of codex> (<system>) …`; the only place that names the version.
            pub user_agent: String = "userAgent",
            /// Its `CODEX_HOME`.
            pub codex_home: String = "codexHome",
            /// `unix` or `windows`.
            pub platform_family: String = "platformFamily",
            /// `linux`, `macos`, `windows`.
            pub platform_os: String = "platformOs",
        }
    }
}

impl ServerInfo {
    /// The version of codex, as in `0.171.0`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let (_, rest) = self.user_agent.split_once('/')?;
        rest.split([' ', '('])
            .next()
            .filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    }
}

impl CasClient {
    /// What to start, and how.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), cas_sdk::Error> {
    /// let client = cas_sdk::CasClient::builder().cwd("/repo").spawn().await?;
    /// # client.shutdown().await; Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            connection,
            dispatch,
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
            dispatch,
            stop,
            done,
            pid,
            options,
            server,
        });
        shared
            .dispatch
            .attach_client(WeakClient(Arc::downgrade(&shared)));
        Self {
            shared,
            _owner: Some(owner),
            handlers: None,
        }
    }

    pub(crate) async fn handshake(&self, params: &Value, deadline: Duration) -> Result<(), Error> {
        let raw = self
            .send(
                "initialize",
                &params.to_string(),
                Some(deadline),
                false,
                None,
            )
            .await?;
        let info = serde_json::from_str(raw.result())
            .map_err(|e| Error::decode("initialize", raw.result(), &e))?;
        let _ = self.shared.server.set(info);
        self.shared.connection.notify("initialized", None);
        Ok(())
    }

    /// Makes a request: the type of the params names the method and the response.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::protocol::ModelListParams;
    /// let models = client.request(ModelListParams::default()).await?;
    /// # Ok(()) }
    /// ```
    pub fn request<C: Call>(&self, params: C) -> Request<C> {
        Request::new(self, params)
    }

    /// Makes a request by its method's name, for what the types don't know.
    ///
    /// # Errors
    /// As of [`request`](Self::request), and [`Error::Decode`] if the result is not an `R`.
    pub async fn request_raw<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        self.call_within(method, params, self.request_timeout())
            .await
    }

    /// The same with a deadline.
    pub(crate) async fn call_within<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
        within: Duration,
    ) -> Result<R, Error> {
        let params = serde_json::to_string(params).map_err(|e| Error::encode(method, &e))?;
        let raw = self
            .send(method, &params, Some(within), false, None)
            .await?;
        serde_json::from_str(raw.result()).map_err(|e| Error::decode(method, raw.result(), &e))
    }

    /// What the server says from now on, as far as `filter` takes it. Subscribe before the request that causes it.
    pub fn events(&self, filter: Filter) -> Events {
        self.subscribe(filter.into_matcher())
    }

    /// `turn/steer`: adds input to the turn that is running. [`Turn::steer`](crate::Turn::steer) is more convenient.
    ///
    /// Refusals are [`Error::Rpc`] of kind `NoActiveTurn`, `TurnMismatch` or `NotSteerable`.
    pub fn steer_turn(
        &self,
        params: protocol::TurnSteerParams,
    ) -> Request<protocol::TurnSteerParams> {
        self.request(params).urgent()
    }

    /// `experimentalFeature/list`: the features of this codex and whether they are on, a page at a time.
    pub fn list_experimental_features(
        &self,
        params: protocol::ExperimentalFeatureListParams,
    ) -> Request<protocol::ExperimentalFeatureListParams> {
        self.request(params)
    }

    /// A handle to the same connection whose threads have these handlers, and the client's where it has none: those that
    /// are started, resumed or forked through it, by whichever method of the client, and the threads of the sub-agents that
    /// they spawn. The handle that opened a thread last decides.
    ///
    /// For a thread of which it is not known who opened it, the strictest of the policies of the client and all of its
    /// threads decides, those that are closed included.
    #[must_use]
    pub fn with_handlers(&self, handlers: Handlers) -> Self {
        self.warn_of_gone(&handlers);
        let handlers = Arc::new(handlers.over(self.handlers()));
        Self {
            handlers: Some(handlers),
            ..self.clone()
        }
    }

    /// Says which of some handlers this server never calls.
    pub(crate) fn warn_of_gone(&self, handlers: &Handlers) {
        handlers.warn_of_gone(self.server().and_then(ServerInfo::version));
    }

    /// The server's requests that wait for an answer, the oldest first.
    #[must_use]
    pub fn pending_requests(&self) -> Vec<PendingRequest> {
        self.shared.dispatch.pending()
    }

    /// What the server said of itself in the handshake.
    #[must_use]
    pub fn server(&self) -> Option<&ServerInfo> {
        self.shared.server.get()
    }

    /// The process id of the server, if it is a child of this process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.shared.pid
    }

    /// How this client came to its server, and so whose server it is.
    #[must_use]
    pub fn connection_kind(&self) -> &ConnectionKind {
        &self.shared.options.kind
    }

    /// Ends the server: the end of its input, then SIGTERM, then SIGKILL, each after the builder's
    /// [`stop_grace`](Builder::stop_grace). Returns when it is gone, with the reason the connection ended. A server that
    /// was joined is not this client's to end: then only the connection ends.
    pub async fn shutdown(&self) -> Arc<CloseReason> {
        self.shared.stop.send_replace(true);
        self.closed().await
    }

    /// Waits until the connection has ended, for whatever reason.
    pub async fn closed(&self) -> Arc<CloseReason> {
        let mut done = self.shared.done.clone();
        match done.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        }
        .unwrap_or_else(|| Arc::new(CloseReason::new(CloseCause::RuntimeEnded)))
    }

    pub(crate) fn taps(&self) -> &Arc<crate::rpc::tap::Taps> {
        &self.shared.connection.taps
    }

    pub(crate) fn close_reason(&self) -> Option<Arc<CloseReason>> {
        let closed = self.shared.connection.router.closed()?;
        Some(CloseReason::of(&closed))
    }

    pub(crate) fn tracker(&self) -> &Arc<Tracker> {
        self.shared.dispatch.tracker()
    }

    pub(crate) fn subscribe(&self, matcher: Matcher) -> Events {
        let (router, bounds) = (&self.shared.connection.router, self.shared.options.bounds);
        Events::new(router.subscribe(matcher, bounds))
    }

    pub(crate) fn dispatch(&self) -> &Dispatch {
        &self.shared.dispatch
    }

    /// The handlers of the threads that are opened through this handle.
    pub(crate) fn handlers(&self) -> &Arc<Handlers> {
        let base = self.shared.dispatch.threads().base();
        self.handlers.as_ref().unwrap_or(base)
    }

    /// The same connection with the handlers of another handle, see [`own_handlers`](Self::own_handlers).
    pub(crate) fn with_own_handlers(&self, handlers: Option<Arc<Handlers>>) -> Self {
        Self {
            handlers,
            ..self.clone()
        }
    }

    /// The handlers that are not the client's own.
    pub(crate) fn own_handlers(&self) -> Option<Arc<Handlers>> {
        self.handlers.clone()
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

    /// Makes a request from its parts.
    pub(crate) async fn send(
        &self,
        method: &str,
        params: &str,
        deadline: Option<Duration>,
        urgent: bool,
        on_reply: Option<OnReply>,
    ) -> Result<RawReply, Error> {
        // NB. A thread has its handlers before anything else of it is routed, whichever way it was opened.
        let on_reply = match method {
            "thread/start" | "thread/resume" | "thread/fork" => {
                let threads = self.dispatch().threads();
                let opening = threads.opening(self.own_handlers(), method != "thread/resume");
                Some(match on_reply {
                    None => opening,
                    Some(then) => Box::new(move |outcome: &_| {
                        opening(outcome);
                        then(outcome);
                    }),
                })
            }
            _ => on_reply,
        };
        let on_reply = self.tracker().hook(method, params, on_reply);
        let lane = if urgent {
            Lane::Urgent
        } else if deadline.is_none_or(|after| after > self.request_timeout()) {
            Lane::Long
        } else {
            Lane::Ordinary
        };
        let on_reply = self.watch_login(method, on_reply);
        match self
            .shared
            .connection
            .request(OutgoingRequest {
                method,
                params,
                lane,
                deadline,
                on_reply,
            })
            .await
        {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(source)) => Err(Error::Rpc {
                method: method.to_owned(),
                source: source.into(),
            }),
            Err(NoAnswer::Closed(closed)) => Err(Error::Closed(CloseReason::of(&closed))),
            Err(NoAnswer::TooLong(len, head)) => Err(Error::Decode {
                method: method.to_owned(),
                raw: (*head).into(),
                reason: format!("the answer has {len} bytes, more than the builder's `max_line`"),
            }),
            Err(NoAnswer::NotSent(reason)) => Err(Error::NotSent {
                method: method.to_owned(),
                after: deadline.unwrap_or_default(),
                reason: reason.to_owned(),
            }),
            Err(NoAnswer::TooLarge { len, max }) => Err(Error::Invalid(format!(
                "{method} has {len} bytes, and a server on a socket takes no more than {max} in a message"
            ))),
            Err(NoAnswer::Timeout) => Err(Error::Timeout {
                method: method.to_owned(),
                after: deadline.unwrap_or_default(),
            }),
        }
    }

    /// Has the dispatcher told of a request that changes the login, when it is sent and again when it is answered.
    fn watch_login(&self, method: &str, then: Option<OnReply>) -> Option<OnReply> {
        if !matches!(
            method,
            "account/login/start" | "account/login/cancel" | "account/logout"
        ) {
            return then;
        }
        self.shared.dispatch.login_changed();
        let dispatch = Arc::downgrade(&self.shared.dispatch);
        Some(Box::new(move |outcome| {
            if let Some(dispatch) = dispatch.upgrade() {
                dispatch.login_changed();
            }
            if let Some(then) = then {
                then(outcome);
            }
        }))
    }

    /// Fails early, and by name, what the server would refuse.
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
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CasClient")
            .field("pid", &self.shared.pid)
            .finish_non_exhaustive()
    }
}

/// A client as the dispatcher keeps it.
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

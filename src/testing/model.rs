//! `MockModel`: the handle of the scripted model, its script and its record.

use std::{
    collections::VecDeque,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::Method;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{record::Record, reply::Reply, request::ModelRequest, routes::Routes, server};

/// How long [`MockModel::wait_for_requests`] and [`MockModel::next_request`] wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A model that says what the test wants: OpenAI's Responses API on `127.0.0.1`, for the real codex to talk
/// to.
///
/// Replies are taken in this order: the queue filled by [`reply`](Self::reply), the function given to
/// [`respond_with`](Self::respond_with), the reply given to [`otherwise`](Self::otherwise). If none has
/// one, the request is answered with HTTP 500 and reported by [`unexpected`](Self::unexpected).
///
/// Requests are recorded, the newest [64 MiB](Self::set_record_limit) of them: each one carries the whole conversation so
/// far, so that the record of a long one would grow with the square of its length.
///
/// Dropping the model ends the server, its connections and all open streams.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use cas_sdk::testing::{MockModel, Reply};
/// use serde_json::json;
///
/// let model = MockModel::start().await;
/// // Two steps of one turn: the model calls a tool, then answers.
/// model.reply(Reply::new().function_call("call-1", "weather", json!({ "city": "Paris" })));
/// model.reply(Reply::text("It is sunny in Paris."));
/// # }
/// ```
#[derive(Debug)]
pub struct MockModel {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl MockModel {
    /// Starts a model on a free port of the loopback interface.
    ///
    /// # Panics
    ///
    /// If the loopback interface can't be bound, or outside of a tokio runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("the loopback interface has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared::new());
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Self {
            shared,
            address,
            server,
        }
    }

    /// Where the model listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `base_url` of a model provider: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The `chatgpt_base_url` of the configuration: `http://127.0.0.1:PORT/backend-api`.
    #[must_use]
    pub fn chatgpt_base_url(&self) -> String {
        format!("http://{}/backend-api", self.address)
    }

    /// Queues a reply; each model request takes one.
    pub fn reply(&self, reply: Reply) {
        self.shared.state().replies.push_back(reply);
    }

    /// Takes back the queued replies, for instance those of a turn that was interrupted.
    pub fn clear_replies(&self) {
        self.shared.state().replies.clear();
    }

    /// The number of queued replies that no request has taken yet.
    #[must_use]
    pub fn queued_replies(&self) -> usize {
        self.shared.state().replies.len()
    }

    /// Answers by a function of the request whenever the queue is empty: what concurrent threads need,
    /// whose requests come in no certain order.
    ///
    /// The function returns a [`Reply`], or an `Option<Reply>` to leave some requests to
    /// [`otherwise`](Self::otherwise). It runs on the server's task and must not block. A panic in it is
    /// reported by [`unexpected`](Self::unexpected).
    ///
    /// ```
    /// # use cas_sdk::testing::{MockModel, ModelRequest, Reply};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let model = MockModel::start().await;
    /// model.respond_with(|request: &ModelRequest| {
    ///     let question = request.prompts().last().copied().unwrap_or_default();
    ///     Reply::text(format!("You said: {question}"))
    /// });
    /// # }
    /// ```
    pub fn respond_with<F, R>(&self, respond: F)
    where
        F: Fn(&ModelRequest) -> R + Send + Sync + 'static,
        R: Into<Option<Reply>>,
    {
        self.shared.state().responder = Some(Arc::new(move |request| respond(request).into()));
    }

    /// Sets the reply to every request for which nothing else is scripted.
    pub fn otherwise(&self, reply: Reply) {
        self.shared.state().otherwise = Some(reply);
    }

    /// From now on answers model requests that do not carry this bearer token with HTTP 401. They are
    /// recorded, but take no reply.
    ///
    /// Only model requests are checked, not the [`route`](Self::route)s. Together with
    /// [`jwt`](super::jwt()) this tests that expired tokens are refreshed.
    pub fn require_bearer(&self, token: impl Into<String>) {
        self.shared.state().bearer = Some(token.into());
    }

    /// Makes the ChatGPT backend know this account and plan; `org-1` and `pro` unless told.
    pub fn account(&self, id: &str, plan: &str) {
        self.shared.state().routes.set_account(id, plan);
    }

    /// Sets the answer to another path, replacing what was set before. A body that is a JSON string is sent
    /// as plain text.
    ///
    /// Codex asks these once it is logged in, and there are defaults for all of them: `GET` of
    /// `/v1/models`, `/backend-api/wham/accounts/check`, `/backend-api/wham/settings/user`,
    /// `/backend-api/wham/usage`, `/backend-api/wham/rate-limit-reset-credits`. Other paths get HTTP 404
    /// and are reported by [`unexpected`](Self::unexpected).
    ///
    /// # Panics
    ///
    /// If `method` is not an HTTP method, or `status` not an HTTP status.
    pub fn route(&self, method: &str, path: &str, status: u16, body: impl Into<Value>) {
        assert!(
            (100..1000).contains(&status),
            "{status} is not an HTTP status"
        );
        self.shared
            .state()
            .routes
            .set(parse_method(method), path, status, body.into());
    }

    /// How often a path other than the model's own was asked for.
    ///
    /// # Panics
    ///
    /// If `method` is not an HTTP method.
    #[must_use]
    pub fn route_calls(&self, method: &str, path: &str) -> usize {
        self.shared.state().routes.calls(parse_method(method), path)
    }

    /// The recorded model requests, in the order of their arrival. Each is recorded before it is answered.
    ///
    /// These are all since the start or the last [`clear_requests`](Self::clear_requests), unless that is more than the
    /// [record's limit](Self::set_record_limit): then the oldest are missing, and [`request_count`](Self::request_count)
    /// tells how many there were.
    #[must_use]
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.shared
            .state()
            .record
            .requests
            .iter()
            .cloned()
            .collect()
    }

    /// How many model requests have arrived since the start or the last [`clear_requests`](Self::clear_requests),
    /// recorded or not.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.shared.state().record.count()
    }

    /// Forgets the requests so far, as if none had been made: [`requests`](Self::requests),
    /// [`wait_for_requests`](Self::wait_for_requests) and [`next_request`](Self::next_request) begin anew.
    pub fn clear_requests(&self) {
        let mut state = self.shared.state();
        state.record.clear();
        self.shared.arrivals.send_replace(0);
    }

    /// Sets how many bytes of request bodies are kept at most; default: 64 MiB. When they are more, the oldest requests
    /// go. The newest one is kept, however large.
    pub fn set_record_limit(&self, bytes: usize) {
        let mut state = self.shared.state();
        state.record.limit = bytes;
        state.record.shrink();
    }

    /// Waits until at least `n` model requests have arrived, and returns the [record](Self::requests) of them.
    ///
    /// # Panics
    ///
    /// If they have not arrived within 30 s; the message tells what has.
    pub async fn wait_for_requests(&self, n: usize) -> Vec<ModelRequest> {
        let mut arrivals = self.shared.arrivals.subscribe();
        let arrived = tokio::time::timeout(PATIENCE, arrivals.wait_for(|count| *count >= n)).await;
        assert!(
            arrived.is_ok(),
            "waited {PATIENCE:?} for {n} model requests: {:?}",
            self.shared
        );
        self.requests()
    }

    /// Waits for the next model request that this method has not returned yet, beginning with the first that is
    /// recorded.
    ///
    /// # Panics
    ///
    /// If none arrives within 30 s; the message tells what has.
    pub async fn next_request(&self) -> ModelRequest {
        let mut arrivals = self.shared.arrivals.subscribe();
        let next = async {
            loop {
                if let Some(request) = self.shared.state().record.take_next() {
                    return request;
                }
                // The sender lives as long as `self`.
                let _ = arrivals.changed().await;
            }
        };
        let next = tokio::time::timeout(PATIENCE, next).await;
        next.unwrap_or_else(|_| {
            panic!(
                "waited {PATIENCE:?} for the next model request: {:?}",
                self.shared
            )
        })
    }

    /// What happened that the script did not foresee, in words: requests without a reply, paths without a
    /// route, a panic in the function given to [`respond_with`](Self::respond_with). A test does well to
    /// end with
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let model = cas_sdk::testing::MockModel::start().await;
    /// assert_eq!(model.unexpected(), [""; 0]);
    /// # }
    /// ```
    #[must_use]
    pub fn unexpected(&self) -> Vec<String> {
        self.shared.state().unexpected.clone()
    }
}

impl Drop for MockModel {
    fn drop(&mut self) {
        // The connections live in the server's task and end with it.
        self.server.abort();
    }
}

fn parse_method(method: &str) -> Method {
    let method = method.to_ascii_uppercase();
    method
        .parse()
        .unwrap_or_else(|_| panic!("{method:?} is not an HTTP method"))
}

/// What the handle and the server share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// The number of recorded requests.
    arrivals: watch::Sender<usize>,
}

struct State {
    replies: VecDeque<Reply>,
    responder: Option<Responder>,
    otherwise: Option<Reply>,
    bearer: Option<String>,
    routes: Routes,
    record: Record,
    unexpected: Vec<String>,
}

type Responder = Arc<dyn Fn(&ModelRequest) -> Option<Reply> + Send + Sync>;

/// Why a model request gets no reply.
#[derive(Debug)]
pub(super) enum Refusal {
    Bearer,
    Unscripted,
}

impl Shared {
    fn new() -> Self {
        let state = State {
            replies: VecDeque::new(),
            responder: None,
            otherwise: None,
            bearer: None,
            routes: Routes::new(),
            record: Record::default(),
            unexpected: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            arrivals: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself, so a panic elsewhere in a test can't have
        // spoilt it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a model request and finds its reply.
    pub(super) fn answer(&self, request: &ModelRequest) -> Result<Reply, Refusal> {
        let (responder, otherwise) = {
            let mut state = self.state();
            state.record.push(request.clone());
            self.arrivals.send_replace(state.record.count());
            if state.bearer.is_some() && state.bearer.as_deref() != request.bearer() {
                return Err(Refusal::Bearer);
            }
            if let Some(reply) = state.replies.pop_front() {
                return Ok(reply);
            }
            (state.responder.clone(), state.otherwise.clone())
        };
        // Not under the lock: the function may use the model.
        let reply = responder.and_then(|respond| respond(request));
        reply.or(otherwise).ok_or(Refusal::Unscripted)
    }

    pub(super) fn side_route(&self, method: Method, path: &str) -> Option<(u16, Value)> {
        self.state().routes.answer(method, path)
    }

    pub(super) fn unexpected(&self, what: String) {
        self.state().unexpected.push(what);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MockModel")
            .field("requests", &state.record.requests)
            .field("queued_replies", &state.replies.len())
            .field("unexpected", &state.unexpected)
            .finish_non_exhaustive()
    }
}

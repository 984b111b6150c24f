//! `MockModel`: a scripted model.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::http::Method;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{reply::Reply, request::ModelRequest, script::Script, server};

/// The limit of [`MockModel::wait_for_requests`] and [`MockModel::next_request`].
const PATIENCE: Duration = Duration::from_secs(30);

/// A scripted model: OpenAI's Responses API on `127.0.0.1`, for the real codex.
///
/// A reply comes from the queue filled by [`reply`](Self::reply), else from the function given to
/// [`respond_with`](Self::respond_with), else from [`otherwise`](Self::otherwise). Without any, the
/// request is answered with HTTP 500 and reported by [`unexpected`](Self::unexpected).
///
/// The newest requests are recorded, up to [64 MiB](Self::set_record_limit). Each request carries
/// the whole conversation, so an unlimited record would grow with the square of its length.
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
    script: Arc<Script>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl MockModel {
    /// Starts a model on a free port of the loopback interface.
    ///
    /// # Panics
    /// If the loopback interface cannot be bound, or outside of a tokio runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("the loopback interface has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let script = Arc::new(Script::new());
        let server = tokio::spawn(server::serve(listener, Arc::clone(&script)));
        Self {
            script,
            address,
            server,
        }
    }

    /// The address that the model listens on.
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

    /// Queues a reply. Each model request takes one.
    pub fn reply(&self, reply: Reply) {
        self.script.state().replies.push_back(reply);
    }

    /// Removes the queued replies, for instance those of an interrupted turn.
    pub fn clear_replies(&self) {
        self.script.state().replies.clear();
    }

    /// The number of queued replies that no request has taken yet.
    #[must_use]
    pub fn queued_replies(&self) -> usize {
        self.script.state().replies.len()
    }

    /// Answers by a function of the request while the queue is empty. Concurrent threads need this,
    /// since their requests come in no certain order.
    ///
    /// The function returns a [`Reply`], or an `Option<Reply>` to leave some requests to
    /// [`otherwise`](Self::otherwise). It runs in the server's task and must not block. A panic in
    /// it is reported by [`unexpected`](Self::unexpected).
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
        self.script.state().responder = Some(Arc::new(move |request| respond(request).into()));
    }

    /// Sets the reply to every request without another one.
    pub fn otherwise(&self, reply: Reply) {
        self.script.state().otherwise = Some(reply);
    }

    /// Answers model requests without this bearer token with HTTP 401 from now on. They are
    /// recorded and take no reply.
    ///
    /// Other [`route`](Self::route)s are not checked. Together with [`jwt`](super::jwt()) this
    /// tests that expired tokens are refreshed.
    pub fn require_bearer(&self, token: impl Into<String>) {
        self.script.state().bearer = Some(token.into());
    }

    /// Sets the account and the plan that the ChatGPT backend reports. Default: `org-1` and `pro`.
    pub fn account(&self, id: &str, plan: &str) {
        self.script.state().routes.set_account(id, plan);
    }

    /// Sets the answer to another path. A body that is a JSON string is sent as plain text.
    ///
    /// A logged-in codex requests these, and all have defaults: `GET` of `/v1/models`,
    /// `/backend-api/wham/accounts/check`, `/backend-api/wham/settings/user`,
    /// `/backend-api/wham/usage`, `/backend-api/wham/rate-limit-reset-credits`. Other paths get
    /// HTTP 404 and are reported by [`unexpected`](Self::unexpected).
    ///
    /// # Panics
    ///
    /// If `method` is not an HTTP method, or `status` not an HTTP status.
    pub fn route(&self, method: &str, path: &str, status: u16, body: impl Into<Value>) {
        assert!(
            (100..1000).contains(&status),
            "{status} is not an HTTP status"
        );
        self.script
            .state()
            .routes
            .set(parse_method(method), path, status, body.into());
    }

    /// The number of requests for a path other than the model's own.
    ///
    /// # Panics
    ///
    /// If `method` is not an HTTP method.
    #[must_use]
    pub fn route_calls(&self, method: &str, path: &str) -> usize {
        self.script.state().routes.calls(parse_method(method), path)
    }

    /// The recorded model requests, in order of arrival. Each is recorded before it is answered.
    ///
    /// These are all requests since the start or the last [`clear_requests`](Self::clear_requests),
    /// except for the oldest ones beyond the [limit](Self::set_record_limit) of the record.
    /// [`request_count`](Self::request_count) counts those too.
    #[must_use]
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.script
            .state()
            .record
            .requests
            .iter()
            .cloned()
            .collect()
    }

    /// The number of model requests since the start or the last
    /// [`clear_requests`](Self::clear_requests), recorded or not.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.script.state().record.count()
    }

    /// Clears the record: [`requests`](Self::requests),
    /// [`wait_for_requests`](Self::wait_for_requests) and [`next_request`](Self::next_request)
    /// start over.
    pub fn clear_requests(&self) {
        let mut state = self.script.state();
        state.record.clear();
        self.script.arrivals.send_replace(0);
    }

    /// Sets the limit of the record in bytes of request bodies. Default: 64 MiB. Beyond it the
    /// oldest requests are dropped. The newest one is kept, however large.
    pub fn set_record_limit(&self, bytes: usize) {
        let mut state = self.script.state();
        state.record.limit = bytes;
        state.record.shrink();
    }

    /// Waits until at least `n` model requests have arrived, and returns the
    /// [record](Self::requests) of them.
    ///
    /// # Panics
    ///
    /// If they do not arrive within 30 s. The message lists those that did.
    pub async fn wait_for_requests(&self, n: usize) -> Vec<ModelRequest> {
        let mut arrivals = self.script.arrivals.subscribe();
        let arrived = tokio::time::timeout(PATIENCE, arrivals.wait_for(|count| *count >= n)).await;
        assert!(
            arrived.is_ok(),
            "waited {PATIENCE:?} for {n} model requests: {:?}",
            self.script
        );
        self.requests()
    }

    /// Waits for the oldest recorded model request that this method has not returned yet.
    ///
    /// # Panics
    ///
    /// If none arrives within 30 s. The message lists those that did.
    pub async fn next_request(&self) -> ModelRequest {
        let mut arrivals = self.script.arrivals.subscribe();
        let next = async {
            loop {
                if let Some(request) = self.script.state().record.take_next() {
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
                self.script
            )
        })
    }

    /// Descriptions of what the script did not foresee: requests without a reply, paths without a
    /// route, a panic in the function given to [`respond_with`](Self::respond_with).
    ///
    /// Tests should end with this assertion:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let model = cas_sdk::testing::MockModel::start().await;
    /// assert_eq!(model.unexpected(), [""; 0]);
    /// # }
    /// ```
    #[must_use]
    pub fn unexpected(&self) -> Vec<String> {
        self.script.state().unexpected.clone()
    }
}

impl Drop for MockModel {
    fn drop(&mut self) {
        // The task owns the connections, so they end with it.
        self.server.abort();
    }
}

fn parse_method(method: &str) -> Method {
    let method = method.to_ascii_uppercase();
    method
        .parse()
        .unwrap_or_else(|_| panic!("{method:?} is not an HTTP method"))
}

//! `FakeServer`: an app-server in memory that the test plays, for faults that the real one never
//! has.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, MutexGuard},
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::fake_wire::{Input, Output, Wire};
use crate::{Builder, CasClient, Error, error::RpcError, protocol::ClientRequest, rpc::Lock};

/// A `codex app-server` in memory, played by the test: a turn that never ends, a process that dies
/// in the middle of a sentence, events that come too early, too late or from elsewhere, a refusal,
/// a silence.
///
/// Where the real codex can produce the case, [`MockModel`](super::MockModel) makes the better
/// test. This server does nothing unless the test makes it. Only `initialize` is answered by
/// default. Other requests wait for [`next`](Self::next), or are answered by the function given to
/// [`answer`](Self::answer).
///
/// Nothing blocks and nothing runs in the background, so tests with paused time work. Output that
/// the client does not read is kept without a limit. Clones share one server.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), cas_sdk::Error> {
/// use cas_sdk::{CasClient, protocol::ThreadStartParams, testing::FakeServer};
/// use serde_json::json;
///
/// let (client, server) = FakeServer::connect(CasClient::builder()).await?;
/// server.opens("thr_1");
/// let thread = client.start_thread(ThreadStartParams::default()).await?;
///
/// let (turn, ()) = tokio::join!(thread.ask("hello").into_future(), async {
///     let start = server.next("turn/start").await;
///     // The event may come before the answer.
///     server.turn_started("thr_1", "turn_1");
///     start.reply(json!({"turn": {"id": "turn_1", "items": [], "status": "inProgress"}}));
/// });
/// server.message("thr_1", "turn_1", "item_1", "hi");
/// server.turn_completed("thr_1", "turn_1", "completed");
/// assert_eq!(turn?.finish().await?.text, "hi");
/// # Ok(()) }
/// # use std::future::IntoFuture as _;
/// ```
#[derive(Clone)]
pub struct FakeServer(Arc<Shared>);

struct Shared {
    wire: Wire,
    state: Lock<State>,
    /// Notified when a message of the client arrives.
    arrival: Notify,
}

type Answer = Arc<Lock<dyn FnMut(&Value) -> Result<Value, RpcError> + Send>>;

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    /// Requests that are neither answered nor taken: id, method, params.
    waiting: VecDeque<(Value, String, Value)>,
    /// All requests and notifications of the client: method, params.
    record: Vec<(String, Value)>,
    /// The client's responses to the server's requests, by id.
    replies: HashMap<String, Value>,
}

/// The method of the request behind [`FakeServer::settled`], which no record shows.
const SETTLED: &str = "fake/settled";

impl FakeServer {
    /// Creates a server and connects a client to it. The handshake is done on return.
    ///
    /// # Errors
    /// Same errors as [`Builder::connect`].
    pub async fn connect(builder: Builder) -> Result<(CasClient, Self), Error> {
        let server = Self(Arc::new(Shared {
            wire: Wire::default(),
            state: Lock::default(),
            arrival: Notify::new(),
        }));
        server.answer("initialize", |_| {
            Ok(json!({
                "userAgent": concat!("fake/", env!("CARGO_PKG_VERSION")),
                "codexHome": "/fake",
                "platformFamily": "unix",
                "platformOs": "linux",
            }))
        });
        server.answer(SETTLED, |_| Ok(json!({})));
        let on_line = {
            let server = server.clone();
            Box::new(move |line: &str| server.hear(line))
        };
        let wire = server.0.wire.clone();
        let (output, input) = (Output(wire.clone()), Input { wire, on_line });
        #[cfg(feature = "ws")]
        let client = super::connect(builder, output, input).await?;
        #[cfg(not(feature = "ws"))]
        let client = builder.connect(output, input).await?;
        Ok((client, server))
    }

    /// Waits for the oldest request of this method that is neither answered nor taken.
    ///
    /// Waits without a limit; the test needs one of its own.
    pub async fn next(&self, method: &str) -> FakeRequest {
        loop {
            let arrival = self.0.arrival.notified();
            if let Some(request) = self.waiting(method) {
                return request;
            }
            arrival.await;
        }
    }

    /// The oldest request of this method that is neither answered nor taken, if there is one.
    #[must_use]
    pub fn waiting(&self, method: &str) -> Option<FakeRequest> {
        let mut state = self.state();
        let at = state.waiting.iter().position(|(_, m, _)| m == method)?;
        let (id, method, params) = state.waiting.remove(at)?;
        Some(FakeRequest {
            server: self.clone(),
            id,
            method,
            params,
        })
    }

    /// Answers this method by a function of its params from now on. The function may use the
    /// server; what it sends comes before the answer.
    pub fn answer(
        &self,
        method: &str,
        answer: impl FnMut(&Value) -> Result<Value, RpcError> + Send + 'static,
    ) {
        self.state()
            .answers
            .insert(method.to_owned(), Arc::new(Lock::new(answer)));
    }

    /// Undoes [`answer`](Self::answer). Requests of this method wait for [`next`](Self::next)
    /// again.
    pub fn leave(&self, method: &str) {
        self.state().answers.remove(method);
    }

    /// Sends a notification.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is written in place with json!"
    )]
    pub fn notify(&self, method: &str, params: Value) {
        self.line(&json!({"method": method, "params": params}).to_string());
    }

    /// Sends a request to the client. [`reply_to`](Self::reply_to) waits for the response.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is written in place with json!"
    )]
    pub fn call(&self, id: u64, method: &str, params: Value) {
        self.line(&json!({"id": id, "method": method, "params": params}).to_string());
    }

    /// Waits for the client's response to a request of this server. Returns the whole message, with
    /// `result` or `error`.
    pub async fn reply_to(&self, id: u64) -> Value {
        loop {
            let arrival = self.0.arrival.notified();
            if let Some(reply) = self.state().replies.remove(&id.to_string()) {
                return reply;
            }
            arrival.await;
        }
    }

    /// Waits until the client has handled all that this server sent before, and has sent all that
    /// it had to send.
    ///
    /// Makes a request through `client`, which no record shows and which needs a place in flight.
    ///
    /// # Panics
    /// If the connection ends before the client has caught up.
    pub async fn settled(&self, client: &CasClient) {
        let answer = client.call::<Value>(SETTLED, &json!({})).await;
        if let Err(error) = answer {
            panic!("the client did not settle: {error}");
        }
    }

    /// Sends a line, which need not be JSON.
    pub fn line(&self, text: &str) {
        self.0.wire.say(text);
    }

    /// All requests and notifications of the client so far, with their params. Includes the
    /// handshake.
    #[must_use]
    pub fn record(&self) -> Vec<(String, Value)> {
        self.state().record.clone()
    }

    /// The number of requests and notifications of this method so far.
    #[must_use]
    pub fn calls(&self, method: &str) -> usize {
        self.state()
            .record
            .iter()
            .filter(|(m, _)| m == method)
            .count()
    }

    /// Closes both pipes, as the death of a process does. The client can still read what was sent.
    pub fn die(&self) {
        self.0.wire.close();
    }

    /// Whether the pipes are closed, by [`die`](Self::die) or by the client.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.wire.is_closed()
    }

    /// Handles a line of the client.
    fn hear(&self, line: &str) {
        let Ok(mut message) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let id = message.get("id").cloned();
        let method = message
            .get("method")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let params = message
            .get_mut("params")
            .map(Value::take)
            .unwrap_or_default();
        match (id, method) {
            (Some(id), Some(method)) => {
                let answer = {
                    let mut state = self.state();
                    if method != SETTLED {
                        state.record.push((method.clone(), params.clone()));
                    }
                    let answer = state.answers.get(&method).cloned();
                    if answer.is_none() {
                        state
                            .waiting
                            .push_back((id.clone(), method, params.clone()));
                    }
                    answer
                };
                if let Some(answer) = answer {
                    let answer = answer.lock()(&params);
                    self.settle(&id, answer);
                }
            }
            (None, Some(method)) => self.state().record.push((method, params)),
            (Some(id), None) => {
                self.state().replies.insert(id.to_string(), message);
            }
            (None, None) => {}
        }
        self.0.arrival.notify_waiters();
    }

    fn settle(&self, id: &Value, answer: Result<Value, RpcError>) {
        let message = match answer {
            Ok(result) => json!({"id": id, "result": result}),
            Err(error) => {
                let data = error.data;
                json!({"id": id, "error": {"code": error.code, "message": error.message, "data": data}})
            }
        };
        self.line(&message.to_string());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let waiting: Vec<_> = state.waiting.iter().map(|(_, method, _)| method).collect();
        f.debug_struct("FakeServer")
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

/// A request of the client that waits for its answer.
#[derive(Debug)]
#[must_use = "a request that is dropped is never answered"]
pub struct FakeRequest {
    server: FakeServer,
    id: Value,
    method: String,
    params: Value,
}

impl FakeRequest {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The params.
    #[must_use]
    pub fn params(&self) -> &Value {
        &self.params
    }

    /// The typed request. An unknown method is [`ClientRequest::Unknown`].
    ///
    /// # Errors
    /// If the params do not fit the schema.
    pub fn typed(&self) -> Result<ClientRequest, serde_json::Error> {
        ClientRequest::decode(&self.method, &self.params.to_string())
    }

    /// Answers with a result.
    pub fn reply(self, result: Value) {
        self.server.settle(&self.id, Ok(result));
    }

    /// Answers with an error, such as -32600 and `no active turn to interrupt`.
    pub fn refuse(self, code: i64, message: &str) {
        self.refuse_with(RpcError::new(code, message, None));
    }

    /// Answers with an error that carries data.
    pub fn refuse_with(self, error: RpcError) {
        self.server.settle(&self.id, Err(error));
    }
}

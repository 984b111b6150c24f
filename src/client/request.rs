//! Requests: made from their params or by the method's name; the deadline, the lane and the retries
//! of each; the response.

use std::{
    borrow::Cow,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use crate::{
    client::{handle::CasClient, retry::Retry},
    error::{Error, RpcErrorKind},
    protocol::{self, Call},
    rpc::reply::RawReply,
};

/// Timers have a resolution of a millisecond. A pause that ends this close to the deadline leaves
/// no time for another attempt.
const TIMER_SLACK: Duration = Duration::from_millis(2);

impl CasClient {
    /// Makes a request. The type of the params names the method and the type of the response.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::protocol::ModelListParams;
    /// let models = client.request(ModelListParams::default()).await?;
    /// # Ok(()) }
    /// ```
    #[expect(
        clippy::needless_pass_by_value,
        reason = "params are written for one request"
    )]
    pub fn request<C: Call>(&self, params: C) -> Request<C::Response> {
        let written = self.check::<C>().and_then(|()| write(C::METHOD, &params));
        Request::new(self, Cow::Borrowed(C::METHOD), written)
    }

    /// Makes a request by the name of its method, for methods and response types that
    /// [`protocol`](crate::protocol) does not have. Everything else is the same as for
    /// [`request`](Self::request).
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// use std::time::Duration;
    /// use serde_json::{Value, json};
    /// let answer: Value = client
    ///     .call("thread/frobnicate", json!({"threadId": "thr_1"}))
    ///     .timeout(Duration::from_secs(5))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn call<R: DeserializeOwned>(&self, method: &str, params: impl Serialize) -> Request<R> {
        let written = write(method, &params);
        Request::new(self, Cow::Owned(method.to_owned()), written)
    }

    /// `turn/steer`: adds input to the running turn. [`Turn::steer`](crate::Turn::steer) is more
    /// convenient.
    ///
    /// The server refuses with [`Error::Rpc`] of kind `NoActiveTurn`, `TurnMismatch` or
    /// `NotSteerable`.
    pub fn steer_turn(
        &self,
        params: protocol::TurnSteerParams,
    ) -> Request<protocol::TurnSteerResponse> {
        self.request(params).urgent()
    }

    /// `experimentalFeature/list`: returns the features of this codex and whether each is on, one
    /// page at a time.
    pub fn list_experimental_features(
        &self,
        params: protocol::ExperimentalFeatureListParams,
    ) -> Request<protocol::ExperimentalFeatureListResponse> {
        self.request(params)
    }
}

fn write(method: &str, params: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(params).map_err(|e| Error::encode(method, &e))
}

/// A request for a response of type `R`. Awaiting it sends it.
///
/// Dropping a request midway discards the response, not the work: the server may have carried out
/// the request.
#[must_use = "a request is not sent until it is awaited"]
pub struct Request<R> {
    outgoing: Outgoing,
    response: PhantomData<fn() -> R>,
}

/// A request without the type of its response.
struct Outgoing {
    client: CasClient,
    method: Cow<'static, str>,
    /// An error in the params is returned when the request is awaited.
    params: Result<Arc<str>, Box<Error>>,
    deadline: Deadline,
    urgent: bool,
    retry: Option<Retry>,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
enum Deadline {
    /// The builder's default for requests of this kind.
    Default,
    After(Duration),
    Unlimited,
}

impl<R> Request<R> {
    fn new(client: &CasClient, method: Cow<'static, str>, params: Result<String, Error>) -> Self {
        Self {
            outgoing: Outgoing {
                client: client.clone(),
                method,
                params: params.map(Arc::from).map_err(Box::new),
                deadline: Deadline::Default,
                urgent: false,
                retry: None,
            },
            response: PhantomData,
        }
    }

    /// Sets the deadline of this request, including the wait for a place in flight and all retries.
    /// Default: the builder's [`request_timeout`](crate::Builder::request_timeout).
    ///
    /// A deadline longer than that default makes this a long request; see
    /// [`no_timeout`](Self::no_timeout).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.outgoing.deadline = Deadline::After(after);
        self
    }

    /// Removes the deadline, for a request that is answered only when its work is done, such as
    /// `command/exec`. Such long requests take no place in flight from others: they have 64 of
    /// their own.
    pub fn no_timeout(mut self) -> Self {
        self.outgoing.deadline = Deadline::Unlimited;
        self
    }

    /// Sends this request before those that wait for a place in flight. This is for requests that
    /// end or steer running work. The default deadline is then the builder's
    /// [`urgent_timeout`](crate::Builder::urgent_timeout).
    pub fn urgent(mut self) -> Self {
        self.outgoing.urgent = true;
        self
    }

    /// Retries the request when the server was too busy to take it. The server reports this as
    /// error -32001, which means that nothing was carried out. Default: the error is returned. With
    /// the limit of requests [in flight](crate::Builder::in_flight), only other clients of the same
    /// server can make it that busy.
    ///
    /// No other failure is retried, least of all a missing response: the server may have carried
    /// out the request.
    pub fn retry(mut self, policy: Retry) -> Self {
        self.outgoing.retry = Some(policy);
        self
    }

    /// Sends the request. The response keeps the server's text and is decoded on demand.
    ///
    /// # Errors
    /// [`Error::Rpc`] if the server refuses, [`Error::Timeout`] if it doesn't answer in time,
    /// [`Error::NotSent`] if the deadline passes before the request is sent, [`Error::Closed`] if
    /// the connection ends before it is sent, [`Error::Indeterminate`] if the connection ends
    /// before the response comes, [`Error::Encode`] and [`Error::Invalid`] if the request can't be
    /// sent at all.
    pub async fn raw(self) -> Result<Response<R>, Error> {
        let reply = self.outgoing.send().await?;
        Ok(Response {
            method: self.outgoing.method,
            reply,
            of: self.response,
        })
    }
}

impl Outgoing {
    async fn send(&self) -> Result<RawReply, Error> {
        let params = self.params.as_ref().map_err(|error| (**error).clone())?;
        let within = match self.deadline {
            Deadline::Default if self.urgent => Some(self.client.urgent_timeout()),
            Deadline::Default => Some(self.client.request_timeout()),
            Deadline::After(after) => Some(after),
            Deadline::Unlimited => None,
        };
        match self.retry {
            None => self.attempt(params, within).await,
            // Boxed, so that requests that are not retried stay small.
            Some(policy) => Box::pin(self.send_again(params, within, policy)).await,
        }
    }

    async fn send_again(
        &self,
        params: &Arc<str>,
        within: Option<Duration>,
        policy: Retry,
    ) -> Result<RawReply, Error> {
        let deadline = within.and_then(|after| Instant::now().checked_add(after));
        let left = || deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut pauses = policy.pauses();
        loop {
            let error = match self.attempt(params, left()).await {
                Ok(reply) => return Ok(reply),
                // The deadline has passed either way.
                Err(error @ (Error::Timeout { .. } | Error::NotSent { .. })) => {
                    return Err(match within {
                        Some(told) => error.within(told),
                        None => error,
                    });
                }
                Err(error) if error.rpc_kind() == Some(RpcErrorKind::Overloaded) => error,
                Err(error) => return Err(error),
            };
            match pauses.next() {
                Some(pause)
                    if left().is_none_or(|left| pause.saturating_add(TIMER_SLACK) < left) =>
                {
                    sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    fn attempt(
        &self,
        params: &Arc<str>,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<RawReply, Error>> {
        let (method, params) = (self.method.clone(), params.clone());
        self.client.send(method, params, within, self.urgent, None)
    }
}

impl<R> fmt::Debug for Request<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The params are not shown: they may hold a token.
        f.debug_struct("Request")
            .field("method", &self.outgoing.method)
            .field("deadline", &self.outgoing.deadline)
            .field("urgent", &self.outgoing.urgent)
            .field("retry", &self.outgoing.retry)
            .finish_non_exhaustive()
    }
}

impl<R: DeserializeOwned + 'static> IntoFuture for Request<R> {
    type Output = Result<R, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let reply = self.outgoing.send().await?;
            decode(&self.outgoing.method, &reply)
        })
    }
}

/// A response and its exact text; see [`Request::raw`].
pub struct Response<R> {
    method: Cow<'static, str>,
    reply: RawReply,
    of: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Response<R> {
    /// The JSON text of the result.
    #[must_use]
    pub fn json(&self) -> &str {
        self.reply.result()
    }

    /// Decodes the typed response.
    ///
    /// # Errors
    /// [`Error::Decode`] if the result doesn't fit the schema.
    pub fn decode(&self) -> Result<R, Error> {
        decode(&self.method, &self.reply)
    }
}

fn decode<R: DeserializeOwned>(method: &str, reply: &RawReply) -> Result<R, Error> {
    let json = reply.result();
    serde_json::from_str(json).map_err(|e| Error::decode(method, json, &e))
}

impl<R> fmt::Debug for Response<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text is not shown: it may hold a token.
        f.debug_struct("Response")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

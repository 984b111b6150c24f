//! A typed request: its deadline, whether it passes the others, whether it is made again; and its response.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{CasClient, client::retry::Retry, error::Error, protocol::Call, rpc::reply::RawReply};

/// Timers are a millisecond coarse: a pause that ends in the deadline's own leaves an attempt no time at all.
const TICKS: Duration = Duration::from_millis(2);

/// A request that is sent when it is awaited.
///
/// Dropped midway, it forgets the answer, not the work: the server may have carried it out.
#[must_use = "a request is not sent until it is awaited"]
pub struct Request<C> {
    client: CasClient,
    params: C,
    within: Within,
    urgent: bool,
    retry: Option<Retry>,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// What the builder says for its kind.
    Default,
    Told(Duration),
    Unlimited,
}

impl<C: Call> Request<C> {
    pub(crate) fn new(client: &CasClient, params: C) -> Self {
        Self {
            client: client.clone(),
            params,
            within: Within::Default,
            urgent: false,
            retry: None,
        }
    }

    /// The deadline of this request, the wait for a place among those in flight and retries included. Default: the
    /// builder's [`request_timeout`](crate::Builder::request_timeout).
    ///
    /// A longer one than that makes it a long request, see [`no_timeout`](Self::no_timeout).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.within = Within::Told(after);
        self
    }

    /// No deadline: for a request that lasts as long as its work, such as `command/exec`. Long requests take no place from
    /// the others: they have 64 of their own.
    pub fn no_timeout(mut self) -> Self {
        self.within = Within::Unlimited;
        self
    }

    /// Lets the request pass the others that wait for their place in flight; for what ends or steers their work. Its
    /// deadline, unless told, is the builder's [`urgent_timeout`](crate::Builder::urgent_timeout).
    pub fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Makes the request again where the server was too busy to take it, which is -32001 and means that nothing was
    /// carried out. Default: that is an error. With the limit of requests [in flight](crate::Builder::in_flight) it
    /// takes other clients of the same server to get there.
    ///
    /// Nothing else is retried, a request without an answer least of all: the server may have carried it out.
    pub fn retry(mut self, policy: Retry) -> Self {
        self.retry = Some(policy);
        self
    }

    /// The response with its text as the server wrote it, decoded when asked for.
    ///
    /// # Errors
    /// [`Error::Rpc`] if the server refuses, [`Error::Timeout`] if it doesn't answer in time, [`Error::NotSent`] if the
    /// deadline passes before that, [`Error::Closed`] if the connection ends, [`Error::Encode`] and [`Error::Invalid`] if nothing could be sent.
    pub async fn raw(self) -> Result<RawResponse<C>, Error> {
        Ok(RawResponse::new(self.written()?.send().await?))
    }

    fn written(self) -> Result<Written, Error> {
        self.client.check::<C>()?;
        let timeout = match self.within {
            Within::Default if self.urgent => Some(self.client.urgent_timeout()),
            Within::Default => Some(self.client.request_timeout()),
            Within::Told(after) => Some(after),
            Within::Unlimited => None,
        };
        Ok(Written {
            client: self.client,
            method: C::METHOD,
            params: serde_json::to_string(&self.params)
                .map_err(|e| Error::encode(C::METHOD, &e))?,
            timeout,
            urgent: self.urgent,
            retry: self.retry,
        })
    }
}

/// A request without its type: what sends it is compiled once, not for each method.
struct Written {
    client: CasClient,
    method: &'static str,
    params: String,
    timeout: Option<Duration>,
    urgent: bool,
    retry: Option<Retry>,
}

impl Written {
    async fn send(self) -> Result<RawReply, Error> {
        let deadline = self
            .timeout
            .and_then(|after| Instant::now().checked_add(after));
        let mut retries = 0;
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let send = self
                .client
                .send(self.method, &self.params, left, self.urgent, None);
            let error = match send.await {
                Ok(reply) => return Ok(reply),
                // Its time is up either way.
                Err(error @ (Error::Timeout { .. } | Error::NotSent { .. })) => {
                    return Err(match self.timeout {
                        Some(told) => error.within(told),
                        None => error,
                    });
                }
                Err(error) => error,
            };
            let pause = self.retry.and_then(|policy| policy.pause(retries));
            match pause {
                // What can't be over in time need not begin.
                Some(pause)
                    if error.is_retryable()
                        && deadline.is_none_or(|at| {
                            let left = at.saturating_duration_since(Instant::now());
                            pause.saturating_add(TICKS) < left
                        }) =>
                {
                    retries += 1;
                    sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }
}

impl<C: Call> fmt::Debug for Request<C> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the params: they may hold a token.
        f.debug_struct("Request")
            .field("method", &C::METHOD)
            .field("within", &self.within)
            .field("urgent", &self.urgent)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl<C: Call + Send + 'static> IntoFuture for Request<C> {
    type Output = Result<C::Response, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.raw().await?.decode() })
    }
}

/// A response and its exact text.
pub struct RawResponse<C> {
    reply: RawReply,
    call: std::marker::PhantomData<fn() -> C>,
}

impl<C: Call> RawResponse<C> {
    fn new(reply: RawReply) -> Self {
        let call = std::marker::PhantomData;
        Self { reply, call }
    }

    /// The JSON text of the result.
    #[must_use]
    pub fn result(&self) -> &str {
        self.reply.result()
    }

    /// The typed response.
    ///
    /// # Errors
    /// [`Error::Decode`] if the result doesn't fit the schema.
    pub fn decode(&self) -> Result<C::Response, Error> {
        serde_json::from_str(self.result()).map_err(|e| Error::decode(C::METHOD, self.result(), &e))
    }
}

impl<C> fmt::Debug for RawResponse<C> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the text: it may hold a token.
        f.debug_struct("RawResponse").finish_non_exhaustive()
    }
}

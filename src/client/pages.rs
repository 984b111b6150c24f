//! Paged lists as streams of their items.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    client::{handle::CasClient, pager::Pager},
    error::Error,
    protocol::{self, Call, Paged, pointer::Page},
};

impl CasClient {
    /// Streams all items of a list, fetching a page when its items are needed. The params carry the
    /// filters and, as `limit`, the page size. A `cursor` in the params is where the first page
    /// begins.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::protocol::ThreadListParams;
    /// let mut threads = client.pages(ThreadListParams::default().archived(true));
    /// while let Some(thread) = threads.next().await {
    ///     println!("{}", thread?.preview);
    /// }
    /// # Ok(()) }
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "the same as `request`")]
    pub fn pages<C: Paged>(&self, params: C) -> Pages<C> {
        let begin = self
            .check::<C>()
            .and_then(|()| match protocol::to_value(&params) {
                Ok(Value::Object(fields)) => Ok(fields),
                Ok(_) => Ok(Map::new()),
                Err(e) => Err(Error::encode(C::METHOD, &e)),
            });
        let (params, next) = match begin {
            Ok(params) => (params, Next::Fetch),
            Err(error) => (Map::new(), Next::Fail(error)),
        };
        Pages {
            client: self.clone(),
            timeout: self.request_timeout(),
            urgent: false,
            pager: Pager::new(C::METHOD, params),
            items: VecDeque::new(),
            next,
        }
    }
}

/// A stream of the items of a list; see [`CasClient::pages`].
///
/// A page is fetched after the items of the previous page have been read. An error ends the stream.
/// A server that repeats a cursor ends the stream with [`Error::Invalid`].
#[must_use = "a list is not fetched until it is read"]
pub struct Pages<C: Paged> {
    client: CasClient,
    timeout: Duration,
    urgent: bool,
    pager: Pager,
    items: VecDeque<C::Item>,
    next: Next<C::Item>,
}

type Fetch<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

enum Next<T> {
    /// The next page has to be fetched.
    Fetch,
    Fetching(Fetch<T>),
    Fail(Error),
    End,
}

impl<C: Paged> Pages<C> {
    /// Sets the deadline of the request for each page. Default: the builder's
    /// [`request_timeout`](crate::Builder::request_timeout).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = after;
        self
    }

    /// Sends the requests before others, within the same time.
    pub(crate) fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Returns the next item, or `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn next(&mut self) -> Option<Result<C::Item, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Returns all remaining items.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`]; the items read before the error are lost.
    pub async fn all(mut self) -> Result<Vec<C::Item>, Error> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
        }
        Ok(all)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<C::Item, Error>>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            match &mut self.next {
                Next::Fetch => self.next = Next::Fetching(self.fetch()),
                Next::Fetching(fetch) => match ready!(fetch.as_mut().poll(cx)) {
                    Ok(page) => self.turn(page),
                    Err(error) => self.next = Next::Fail(error),
                },
                Next::Fail(_) => {
                    if let Next::Fail(error) = std::mem::replace(&mut self.next, Next::End) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Next::End => return Poll::Ready(None),
            }
        }
    }

    fn fetch(&self) -> Fetch<C::Item> {
        let request = self.client.call(C::METHOD, self.pager.params());
        let request = if self.urgent {
            request.urgent()
        } else {
            request
        };
        request.timeout(self.timeout).into_future()
    }

    fn turn(&mut self, page: Page<C::Item>) {
        self.items = page.data.into();
        self.next = match self.pager.turn(page.next_cursor) {
            Ok(true) => Next::Fetch,
            Ok(false) => Next::End,
            Err(error) => Next::Fail(error),
        };
    }
}

/// The params of a list whose items are left as the server wrote them: an item that does not fit
/// the schema does not lose the others, and unknown fields are kept.
pub(crate) struct AsSent<C>(pub(crate) C);

impl<C: Call> Serialize for AsSent<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<C: Call> Call for AsSent<C> {
    const METHOD: &'static str = C::METHOD;
    const EXPERIMENTAL: bool = C::EXPERIMENTAL;
    type Response = C::Response;
}

impl<C: Paged> Paged for AsSent<C> {
    type Item = Box<RawValue>;
}

// Nothing in `Pages` is pinned: the one future is boxed.
impl<C: Paged> Unpin for Pages<C> {}

impl<C: Paged> Stream for Pages<C> {
    type Item = Result<C::Item, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<C: Paged> fmt::Debug for Pages<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("method", &C::METHOD)
            .finish_non_exhaustive()
    }
}

//! The stored history of a thread: its turns with their items, however the server stores them.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream::try_unfold;

use super::stored_turns::{LIST, StoredTurns};
use crate::{error::Error, protocol::TurnInfo, thread::Thread};

/// The number of turns in a page.
const PAGE: u32 = 20;

/// The stored turns of a thread, as a stream; see [`Thread::history`].
///
/// The next page is fetched once all turns of the previous page have been read. An error ends the
/// stream.
#[must_use = "nothing is fetched until it is read"]
pub struct ThreadHistory {
    thread: Thread,
    newest_first: bool,
    turns: Option<Turns>,
}

type Turns = Pin<Box<dyn Stream<Item = Result<TurnInfo, Error>> + Send>>;

impl Thread {
    /// The stored turns of this thread with all their items, oldest first, as a stream
    /// (`thread/turns/list`, or `thread/read` on servers without that method). The thread need not
    /// be loaded. A thread without turns has an empty history.
    ///
    /// A running turn is included with what has completed so far. The server also stores the hidden
    /// turn of a review as a turn of the thread; the stream leaves that turn out. In a thread of
    /// the mode `legacy`, the ids of items differ from the ids in the events.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let mut turns = thread.history();
    /// while let Some(turn) = turns.next().await {
    ///     let turn = turn?;
    ///     println!("{}: {} items", turn.id, turn.items.len());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The stream yields the errors of [`CasClient::request`](crate::CasClient::request). It yields [`Error::Invalid`] for an
    /// ephemeral thread, which has no history.
    pub fn history(&self) -> ThreadHistory {
        ThreadHistory {
            thread: self.clone(),
            newest_first: false,
            turns: None,
        }
    }
}

impl ThreadHistory {
    /// Yields the newest turn first. Default: the oldest turn first.
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self.turns = None;
        self
    }

    /// The next turn. `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// See [`Thread::history`].
    pub async fn next(&mut self) -> Option<Result<TurnInfo, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Collects all remaining turns.
    ///
    /// # Errors
    /// See [`Thread::history`].
    pub async fn all(mut self) -> Result<Vec<TurnInfo>, Error> {
        let mut all = Vec::new();
        while let Some(turn) = self.next().await {
            all.push(turn?);
        }
        Ok(all)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<TurnInfo, Error>>> {
        let turns = self.turns.get_or_insert_with(|| {
            let thread = self.thread.clone();
            let stored = StoredTurns::new(thread.client(), thread.id(), PAGE);
            let stored = if self.newest_first {
                stored.newest_first()
            } else {
                stored
            };
            Box::pin(try_unfold(
                (stored, thread),
                async |(mut stored, thread)| {
                    let next = next(&mut stored, &thread).await?;
                    Ok(next.map(|turn| (turn, (stored, thread))))
                },
            ))
        });
        turns.as_mut().poll_next(cx)
    }
}

impl Stream for ThreadHistory {
    type Item = Result<TurnInfo, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl fmt::Debug for ThreadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadHistory")
            .field("thread", &self.thread.id())
            .field("newest_first", &self.newest_first)
            .finish_non_exhaustive()
    }
}

/// The next turn. The error of an ephemeral thread says why there is no history.
async fn next(turns: &mut StoredTurns, thread: &Thread) -> Result<Option<TurnInfo>, Error> {
    let stored = match turns.next().await {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(None),
        Err(error) => {
            let is_ephemeral = |message: &str| message.starts_with("ephemeral ");
            return Err(match error.rpc() {
                Some(rpc) if is_ephemeral(&rpc.message) => Error::Invalid(format!(
                    "thread {} is ephemeral: the server keeps no record of its turns, so read them as they run",
                    thread.id()
                )),
                _ => error,
            });
        }
    };
    let json = stored.json.get();
    let turn = serde_json::from_str(json).map_err(|e| Error::decode(LIST, json, &e))?;
    Ok(Some(turn))
}

//! The stored history of a thread: its turns with their items, however the server stores them.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream::try_unfold;

use crate::{
    client::Pages,
    client::handle::CasClient,
    error::{Error, RpcErrorKind},
    protocol::{
        SortDirection, ThreadItem, ThreadReadParams, ThreadTurnsListParams, Turn, TurnItemsView,
        TurnStatus,
    },
    thread::Thread,
};

/// The number of turns in a page.
const PAGE: u32 = 20;

/// The stored turns of a thread, as a stream; see [`Thread::history`].
///
/// The next page is fetched once all turns of the previous page have been read. An error ends the
/// stream.
#[must_use = "nothing is fetched until it is read"]
pub struct History {
    thread: Thread,
    newest_first: bool,
    turns: Option<Turns>,
}

type Turns = Pin<Box<dyn Stream<Item = Result<Turn, Error>> + Send>>;

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
    /// The stream yields the errors of [`CasClient::request`]. It yields [`Error::Invalid`] for an
    /// ephemeral thread, which has no history.
    pub fn history(&self) -> History {
        History {
            thread: self.clone(),
            newest_first: false,
            turns: None,
        }
    }
}

impl History {
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
    pub async fn next(&mut self) -> Option<Result<Turn, Error>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Collects all remaining turns.
    ///
    /// # Errors
    /// See [`Thread::history`].
    pub async fn all(mut self) -> Result<Vec<Turn>, Error> {
        let mut all = Vec::new();
        while let Some(turn) = self.next().await {
            all.push(turn?);
        }
        Ok(all)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Turn, Error>>> {
        let turns = self.turns.get_or_insert_with(|| {
            let reader = Reader {
                thread: self.thread.clone(),
                newest_first: self.newest_first,
                source: None,
                held: VecDeque::new(),
                begun: false,
            };
            Box::pin(try_unfold(reader, |mut reader| async move {
                let next = reader.visible().await?;
                Ok(next.map(|turn| (turn, reader)))
            }))
        });
        turns.as_mut().poll_next(cx)
    }
}

impl Stream for History {
    type Item = Result<Turn, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("thread", &self.thread.id())
            .field("newest_first", &self.newest_first)
            .finish_non_exhaustive()
    }
}

enum Source {
    Pages(Box<Pages<ThreadTurnsListParams>>),
    /// All turns of the thread, from a server that has no list of turns.
    Whole(VecDeque<Turn>),
}

struct Reader {
    thread: Thread,
    newest_first: bool,
    source: Option<Source>,
    /// Adjacent turns, among which the hidden turn of a review is recognized.
    held: VecDeque<Turn>,
    begun: bool,
}

impl Reader {
    /// The next turn that is not the hidden turn of a review. A hidden turn stands next to its
    /// review, which is its root.
    async fn visible(&mut self) -> Result<Option<Turn>, Error> {
        loop {
            while self.held.len() < 3
                && let Some(turn) = self.next().await?
            {
                self.held.push_back(turn);
            }
            // The first held turn was yielded last; it is kept for comparison.
            let at = usize::from(self.begun);
            let Some(turn) = self.held.get(at) else {
                return Ok(None);
            };
            let before = self.begun.then(|| &self.held[0]);
            let beside = before.into_iter().chain(self.held.get(at + 1));
            let hidden = beside.into_iter().any(|other| is_hidden(turn, other));
            let turn = turn.clone();
            if hidden {
                self.held.remove(at);
                continue;
            }
            if self.begun {
                self.held.pop_front();
            }
            self.begun = true;
            return Ok(Some(turn));
        }
    }

    async fn next(&mut self) -> Result<Option<Turn>, Error> {
        let client: &CasClient = self.thread.client();
        if self.source.is_none() {
            let direction = if self.newest_first {
                SortDirection::Desc
            } else {
                SortDirection::Asc
            };
            let params = ThreadTurnsListParams::new(self.thread.id())
                .items_view(TurnItemsView::Full)
                .sort_direction(direction)
                .limit(PAGE);
            let mut pages = client.pages(params);
            let first = pages.next().await;
            match first {
                Some(Err(error)) if is_unknown(&error) => {
                    let turns = whole(self.thread.clone(), self.newest_first).await?;
                    self.source = Some(Source::Whole(turns));
                }
                Some(Err(error)) => return self.none(error),
                first => {
                    self.source = Some(Source::Pages(Box::new(pages)));
                    return first.transpose();
                }
            }
        }
        match &mut self.source {
            Some(Source::Pages(pages)) => pages.next().await.transpose(),
            Some(Source::Whole(turns)) => Ok(turns.pop_front()),
            None => Ok(None),
        }
    }

    /// Decides whether having nothing to read is an error.
    fn none(&mut self, error: Error) -> Result<Option<Turn>, Error> {
        let ephemeral = error
            .rpc()
            .is_some_and(|rpc| rpc.message.starts_with("ephemeral "));
        if error.rpc_kind() == Some(RpcErrorKind::NoTurnsYet) {
            self.source = Some(Source::Whole(VecDeque::new()));
            return Ok(None);
        }
        Err(if ephemeral {
            Error::Invalid(format!(
                "thread {} is ephemeral: the server keeps no record of its turns, so read them as they run",
                self.thread.id()
            ))
        } else {
            error
        })
    }
}

async fn whole(thread: Thread, newest_first: bool) -> Result<VecDeque<Turn>, Error> {
    let params = ThreadReadParams::new(thread.id()).include_turns(true);
    let mut turns = thread.client().request(params).await?.thread.turns;
    if newest_first {
        turns.reverse();
    }
    Ok(turns.into())
}

fn is_unknown(error: &Error) -> bool {
    matches!(
        error.rpc_kind(),
        Some(RpcErrorKind::UnknownMethod | RpcErrorKind::ExperimentalRequired { .. })
    )
}

fn is_hidden(turn: &Turn, review: &Turn) -> bool {
    let is_root = turn.root_turn_id.as_deref() == Some(review.id.as_str()) && turn.id != review.id;
    let is_review = |item: &ThreadItem| matches!(item, ThreadItem::EnteredReviewMode(_));
    is_root && turn.status != TurnStatus::Completed && review.items.iter().any(is_review)
}

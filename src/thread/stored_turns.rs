//! The turns of a thread as the server stores them: one reader for threads of both history modes,
//! and for servers without a list of turns. Whatever needs the record of a thread reads it here.

use std::{collections::VecDeque, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::handle::CasClient,
    client::pages::{AsSent, Pages},
    error::{Error, RpcErrorKind},
    protocol::pointer::at,
    protocol::{
        Call, SortDirection, ThreadReadParams, ThreadTurnsListParams, TurnItemsView, TurnStatus,
    },
};

/// The method that the errors of this reader name.
pub(crate) const LIST: &str = ThreadTurnsListParams::METHOD;

/// Reads the turns of one thread, page by page.
pub(crate) struct StoredTurns {
    client: CasClient,
    params: ThreadTurnsListParams,
    timeout: Duration,
    urgent: bool,
    source: Option<Source>,
    /// Adjacent turns, among which the hidden turn of a review is recognized.
    held: VecDeque<StoredTurn>,
    begun: bool,
}

/// A turn as the server wrote it.
#[derive(Debug, Clone)]
pub(crate) struct StoredTurn {
    pub(crate) id: String,
    pub(crate) json: Box<RawValue>,
    /// The review whose hidden turn this may be.
    root: Option<String>,
    is_completed: bool,
    is_review: bool,
}

enum Source {
    Pages(Box<Pages<AsSent<ThreadTurnsListParams>>>),
    /// All turns of the thread, from a server that has no list of turns.
    Whole(VecDeque<Box<RawValue>>),
}

impl StoredTurns {
    /// The turns with all their items, oldest first, in pages of this size.
    pub(crate) fn new(client: &CasClient, thread: &str, page: u32) -> Self {
        Self {
            client: client.clone(),
            params: ThreadTurnsListParams::new(thread)
                .items_view(TurnItemsView::Full)
                .sort_direction(SortDirection::Asc)
                .limit(page),
            timeout: client.request_timeout(),
            urgent: false,
            source: None,
            held: VecDeque::new(),
            begun: false,
        }
    }

    pub(crate) fn newest_first(mut self) -> Self {
        self.params = self.params.sort_direction(SortDirection::Desc);
        self
    }

    /// Leaves the items out, where the server can. The hidden turns of reviews are then not
    /// recognized.
    pub(crate) fn without_items(mut self) -> Self {
        self.params = self.params.items_view(TurnItemsView::NotLoaded);
        self
    }

    pub(crate) fn timeout(mut self, after: Duration) -> Self {
        self.timeout = after;
        self
    }

    pub(crate) fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// The next turn that is not the hidden turn of a review. A hidden turn stands next to its
    /// review, which is its root.
    pub(crate) async fn next(&mut self) -> Result<Option<StoredTurn>, Error> {
        loop {
            while self.held.len() < 3
                && let Some(turn) = self.next_stored().await?
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
            let hidden = beside.into_iter().any(|other| turn.is_hidden_of(other));
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

    async fn next_stored(&mut self) -> Result<Option<StoredTurn>, Error> {
        let json = match &mut self.source {
            Some(Source::Pages(pages)) => pages.next().await.transpose()?,
            Some(Source::Whole(turns)) => turns.pop_front(),
            None => self.begin().await?,
        };
        Ok(json.map(StoredTurn::new))
    }

    /// Finds out how the server stores the turns, and returns the first.
    async fn begin(&mut self) -> Result<Option<Box<RawValue>>, Error> {
        let pages = self.client.pages(AsSent(self.params.clone()));
        let mut pages = pages.timeout(self.timeout);
        if self.urgent {
            pages = pages.urgent();
        }
        let first = match pages.next().await.transpose() {
            Err(error) if error.rpc_kind() == Some(RpcErrorKind::NoTurnsYet) => {
                self.source = Some(Source::Whole(VecDeque::new()));
                return Ok(None);
            }
            Err(error) if has_no_list(&error) => {
                let mut turns = self.whole().await?;
                let first = turns.pop_front();
                self.source = Some(Source::Whole(turns));
                return Ok(first);
            }
            first => first?,
        };
        self.source = Some(Source::Pages(Box::new(pages)));
        Ok(first)
    }

    /// `thread/read` with the turns.
    async fn whole(&mut self) -> Result<VecDeque<Box<RawValue>>, Error> {
        const METHOD: &str = ThreadReadParams::METHOD;
        let params = ThreadReadParams::new(self.params.thread_id.as_str()).include_turns(true);
        let request = self.client.request(params).timeout(self.timeout);
        let request = if self.urgent {
            request.urgent().timeout(self.timeout)
        } else {
            request
        };
        let read = match request.raw().await {
            Err(error) if error.rpc_kind() == Some(RpcErrorKind::NoTurnsYet) => {
                return Ok(VecDeque::new());
            }
            read => read?,
        };
        let turns = at::<Option<VecDeque<_>>>(read.json(), &["thread", "turns"]);
        let turns = turns.map_err(|e| Error::decode(METHOD, read.json(), &e))?;
        let mut turns = turns.unwrap_or_default();
        if self.params.sort_direction == Some(SortDirection::Desc) {
            turns.make_contiguous().reverse();
        }
        Ok(turns)
    }
}

impl StoredTurn {
    /// Takes any turn, even a malformed one: whoever reads more of it gets the error.
    fn new(json: Box<RawValue>) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Turn {
            id: String,
            root_turn_id: Option<String>,
            status: String,
            items: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            #[serde(default, rename = "type")]
            kind: String,
        }
        let turn: Turn = serde_json::from_str(json.get()).unwrap_or_default();
        let mut kinds = turn.items.iter().map(|item| item.kind.as_str());
        Self {
            root: turn.root_turn_id.filter(|root| *root != turn.id),
            is_completed: turn.status == TurnStatus::Completed.as_str(),
            is_review: kinds.any(|kind| kind == "enteredReviewMode"),
            id: turn.id,
            json,
        }
    }

    fn is_hidden_of(&self, review: &Self) -> bool {
        !self.is_completed && review.is_review && self.root.as_ref() == Some(&review.id)
    }
}

/// Whether a refusal means that the server has no such list, for this thread or at all.
pub(crate) fn has_no_list(error: &Error) -> bool {
    // Ephemeral threads are refused with another code, and have no other record either.
    match error.rpc_kind() {
        Some(RpcErrorKind::UnknownMethod | RpcErrorKind::ExperimentalRequired { .. }) => true,
        Some(RpcErrorKind::Unsupported) => error.rpc().is_some_and(|rpc| rpc.code == -32601),
        _ => false,
    }
}

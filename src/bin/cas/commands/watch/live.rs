//! A session, as one connection shows it.

use cas_sdk::{
    CasClient, Error, Thread, Turn, TurnEvent,
    handlers::{PendingRequestChange, PendingRequestChanges},
    protocol,
    turn::Turns,
};

/// A session as one connection shows it.
pub(super) struct Live {
    pub(super) thread: Thread,
    /// The turn that runs.
    pub(super) turn: Option<Turn>,
    /// The id of the turn that began last.
    last: String,
    turns: Option<Turns>,
    requests: Option<PendingRequestChanges>,
}

/// Something that came.
pub(super) enum News {
    /// A turn has begun, and is [`Live::turn`].
    Began,
    /// An event of the turn with this id.
    Event(String, TurnEvent),
    Request(PendingRequestChange),
}

impl Live {
    /// Joins the thread; returns its newest turns, too.
    pub(super) async fn join(
        client: &CasClient,
        id: &str,
    ) -> Result<(Self, Vec<protocol::TurnInfo>), Error> {
        let requests = client.pending_request_changes();
        // NB. Subscribe first: a turn may begin right after the snapshot.
        let turns = client.thread(id).turns();
        let mut joined = client.join(id).await?;
        let turn = joined.take_turn();
        let last = turn.as_ref().map(|turn| turn.id().to_owned());
        let live = Self {
            thread: joined.thread().clone(),
            last: last.unwrap_or_default(),
            turn,
            turns: Some(turns),
            requests: Some(requests),
        };
        Ok((live, joined.turns().to_vec()))
    }

    /// What comes next. Waits for ever once the connection has ended and all that came was returned. Cancel safe.
    pub(super) async fn next(&mut self) -> News {
        loop {
            tokio::select! {
                biased;
                event = event(&mut self.turn) => match (event, &self.turn) {
                    (Some(event), Some(turn)) => return News::Event(turn.id().to_owned(), event),
                    _ => self.turn = None,
                },
                turn = begun(&mut self.turns), if self.turn.is_none() => match turn {
                    Some(Ok(turn)) if self.last == turn.id() => {}
                    Some(Ok(turn)) => {
                        turn.id().clone_into(&mut self.last);
                        self.turn = Some(turn);
                        return News::Began;
                    }
                    Some(Err(_)) | None => self.turns = None,
                },
                // NB. After the events: the item that a request is about was told before it.
                change = change(&mut self.requests) => match change {
                    Some(change) => return News::Request(change),
                    None => self.requests = None,
                },
            }
        }
    }
}

/// The next event of the turn; `None` at its end. Cancel safe.
async fn event(turn: &mut Option<Turn>) -> Option<TurnEvent> {
    match turn {
        Some(turn) => turn.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}

/// The next turn. Cancel safe.
async fn begun(turns: &mut Option<Turns>) -> Option<Result<Turn, Error>> {
    match turns {
        Some(turns) => turns.next().await,
        None => std::future::pending().await,
    }
}

/// The next change of the requests that wait. Cancel safe.
async fn change(requests: &mut Option<PendingRequestChanges>) -> Option<PendingRequestChange> {
    match requests {
        Some(requests) => requests.next().await,
        None => std::future::pending().await,
    }
}

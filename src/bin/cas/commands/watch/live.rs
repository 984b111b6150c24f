//! A session, as one connection shows it.

use cas_sdk::{
    CasClient, Error, Thread, Turn, TurnEvent,
    handlers::{PendingRequestChange, PendingRequestChanges},
    protocol,
    turn::Turns,
};

use crate::waiting::or_never;

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

/// What came over the connection.
pub(super) enum LiveEvent {
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

    /// What comes next. Waits for ever once the connection has ended and all that came was
    /// returned. Cancel safe.
    pub(super) async fn next(&mut self) -> LiveEvent {
        loop {
            tokio::select! {
                biased;
                event = or_never(self.turn.as_mut().map(Turn::next)) => match (event, &self.turn) {
                    (Some(Ok(event)), Some(turn)) => return LiveEvent::Event(turn.id().to_owned(), event),
                    _ => self.turn = None,
                },
                turn = or_never(self.turns.as_mut().map(Turns::next)), if self.turn.is_none() => match turn {
                    Some(Ok(turn)) if self.last == turn.id() => {}
                    Some(Ok(turn)) => {
                        turn.id().clone_into(&mut self.last);
                        self.turn = Some(turn);
                        return LiveEvent::Began;
                    }
                    Some(Err(_)) | None => self.turns = None,
                },
                // NB. After the events: the item that a request is about was told before it.
                change = or_never(self.requests.as_mut().map(PendingRequestChanges::next)) => match change {
                    Some(change) => return LiveEvent::Request(change),
                    None => self.requests = None,
                },
            }
        }
    }
}

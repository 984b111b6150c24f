//! The streams of a client.

use super::{
    filter::Filter,
    stream::{Events, Notifications},
    wire::{BOUND, Wire},
};
use crate::{client::handle::CasClient, protocol::Notification};

impl CasClient {
    /// What the server sends from now on, as far as `filter` takes it. Subscribe before the request that causes it.
    pub fn events(&self, filter: Filter) -> Events {
        Events::new(self.subscribe(filter.into_matcher()))
    }

    /// The notifications of type `N` from now on, decoded where they are read. Nothing else is queued.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::protocol::TurnDiffUpdatedNotification;
    /// let mut diffs = client.notifications::<TurnDiffUpdatedNotification>();
    /// while let Some(updated) = diffs.next().await {
    ///     println!("{}", updated?.diff);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn notifications<N: Notification>(&self) -> Notifications<N> {
        Notifications::new(self.events(Filter::all().notification::<N>()))
    }

    /// Every line of both directions from now on, none lost.
    ///
    /// This is the one stream that the client waits for: while 4,096 lines or 16 MiB wait to be read from it, nothing is read
    /// from the server, not even answers, and no request is sent. Read it in a task of its own, or drop it.
    pub fn wire(&self) -> Wire {
        Wire(self.taps().open(BOUND))
    }
}

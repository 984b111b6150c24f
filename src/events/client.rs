//! The event streams of a client.

use super::{
    filter::Filter,
    stream::{Events, Notifications},
    wire::{BOUND, Wire},
};
use crate::{client::handle::CasClient, protocol::Notification};

impl CasClient {
    /// Subscribes to what the server sends from now on and `filter` accepts. Subscribe before
    /// making the request that causes the events.
    pub fn events(&self, filter: Filter) -> Events {
        Events::new(self.subscribe(filter.into_matcher()))
    }

    /// Subscribes to the notifications of type `N` from now on. The reader of the stream decodes
    /// them. Nothing else is queued.
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

    /// Records every line of both directions from now on, without loss.
    ///
    /// This is the only stream that the client waits for. While 4,096 lines or 16 MiB wait to be
    /// read from this stream, the client reads nothing from the server, not even responses, and
    /// sends no request. Read the stream in a task of its own, or drop it.
    pub fn wire(&self) -> Wire {
        Wire(self.taps().open(BOUND))
    }
}

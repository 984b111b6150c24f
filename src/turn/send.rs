//! Other ways to start turns: input that steers the running turn if there is one, and a compaction.

use std::pin::pin;

use futures_util::future::{Either, select};
use tokio::time::timeout_at;

use super::{control::TurnControl, pending::PendingTurn, reader::Turn};
use crate::{
    client::time,
    error::{Error, RpcErrorKind},
    events::Event,
    protocol::{Call, ThreadCompactStartParams},
    thread::{Input, Thread},
};

/// What happened to an input; see [`Thread::send`].
#[derive(Debug)]
#[must_use = "a turn that is dropped is interrupted"]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and there is one at a time"
)]
pub enum SendOutcome {
    /// The input started this turn.
    Started(Turn),
    /// The input was added to the running turn.
    Steered(TurnControl),
}

impl Thread {
    /// Adds an input to the running turn, or starts a turn with the input, and says which. If the
    /// running turn ends just then, `send` falls back to starting a turn, once.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::turn::SendOutcome;
    /// match thread.send("Only look at the tests.").await? {
    ///     SendOutcome::Steered(control) => println!("added to {}", control.turn_id()),
    ///     SendOutcome::Started(turn) => println!("{}", turn.finish().await?.text),
    ///     _ => {}
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Rpc`] of kind `NotSteerable` while a review or a compaction runs, which take no
    /// input; otherwise the same errors as [`ask`](Self::ask).
    pub async fn send(&self, input: impl Into<Input>) -> Result<SendOutcome, Error> {
        self.check_followed()?;
        let input = input.into();
        if let Some(turn) = self.client().tracker().running(self.id()) {
            let control = TurnControl::of(self, &turn);
            match control
                .steer_now(input.clone(), self.client().urgent_timeout())
                .await
            {
                Ok(()) => return Ok(SendOutcome::Steered(control)),
                // The turn has ended in the meantime, or goes by another name.
                Err(error)
                    if matches!(
                        error.rpc_kind(),
                        Some(RpcErrorKind::NoActiveTurn | RpcErrorKind::TurnMismatch { .. })
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        let turn = self.ask(input).await?;
        // The server itself adds the input to a turn that has begun in the meantime.
        Ok(if turn.joined() {
            SendOutcome::Steered(turn.control())
        } else {
            SendOutcome::Started(turn)
        })
    }

    /// Starts a compaction, which aborts a running turn.
    pub(super) async fn start_compaction(&self) -> Result<Turn, Error> {
        const METHOD: &str = ThreadCompactStartParams::METHOD;
        let within = self.client().request_timeout();
        let deadline = time::deadline(within);
        // NB. Subscribe before the request is sent: the response does not name the turn, so its
        // first events have to.
        let mut events = self.events();
        self.acknowledged(ThreadCompactStartParams::new(self.id()))
            .await?;
        let mut seen = Vec::new();
        let begun = async {
            let mut started = Vec::new();
            while let Some(event) = events.next().await {
                let event = event?;
                let turn = event.turn_id().map(str::to_owned);
                let found = turn.filter(|turn| self.is_compaction(&event, turn, &mut started));
                seen.push(event);
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        };
        let unfollowed = self.client().tracker().unfollowed(self.id());
        // The events from before the thread was unfollowed are read first.
        let first = {
            let (begun, unfollowed) = (pin!(begun), pin!(unfollowed));
            let first = timeout_at(deadline, select(begun, unfollowed)).await;
            first.map(|first| match first {
                Either::Left((begun, _)) => Some(begun),
                Either::Right(_) => None,
            })
        };
        match first {
            Ok(Some(Ok(Some(turn)))) => Ok(PendingTurn::found(self, events, seen, &turn)),
            Ok(Some(Ok(None))) => Err(Error::Closed(self.client().closed().await)),
            Ok(Some(Err(error))) => Err(error),
            Ok(None) => Err(match self.client().close_reason() {
                Some(reason) => Error::Closed(reason),
                None => Error::NotFollowed {
                    thread_id: self.id().to_owned(),
                },
            }),
            Err(_) => Err(Error::timeout(METHOD, within)),
        }
    }

    /// Whether an event belongs to the turn that compacts: a turn that has started since and was
    /// not started by an input, or a turn that has started since and says that it compacts.
    fn is_compaction(&self, event: &Event, turn: &str, started: &mut Vec<String>) -> bool {
        match event.method() {
            "turn/started" => {
                started.push(turn.to_owned());
                let tracker = self.client().tracker();
                !tracker.is_starting(self.id()) && !tracker.holds(self.id(), turn)
            }
            "item/started" | "item/completed" => {
                event.item_type() == Some("contextCompaction") && started.iter().any(|t| t == turn)
            }
            _ => false,
        }
    }
}

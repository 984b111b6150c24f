//! The states of a request: to be made, waiting for a place, sent, answered.

use std::{borrow::Cow, sync::Arc};

use tokio::sync::oneshot;

use super::{
    error::NoAnswer,
    reply::{OnReply, Outcome},
    window::{Lane, Place},
};

pub(super) type Answer = Result<Outcome, NoAnswer>;

/// A request to be made.
pub(crate) struct OutgoingRequest {
    pub(crate) method: Cow<'static, str>,
    /// The params as JSON text, shared with the caller and copied when the request is sent.
    pub(crate) params: Arc<str>,
    pub(crate) lane: Lane,
    pub(crate) on_reply: Option<OnReply>,
}

/// A request that was sent and may still be answered.
pub(super) struct Pending {
    /// `None` if only the hook waits for the answer.
    pub(super) tx: Option<oneshot::Sender<Answer>>,
    pub(super) on_reply: Option<OnReply>,
    pub(super) method: Cow<'static, str>,
    /// Whether the caller has gone.
    pub(super) is_forgotten: bool,
    /// How many requests had been sent, including this one.
    pub(super) order: u64,
    /// `None` once the place has been given back.
    pub(super) place: Option<Place>,
}

impl Pending {
    /// Passes the answer to the caller. Returns whether it is lost because the caller has gone.
    pub(super) fn tell(self, answer: Answer) -> bool {
        self.tx.is_some_and(|tx| tx.send(answer).is_err())
    }
}

/// A request that waits for a place in the window.
pub(crate) struct Waiting {
    pub(super) request: OutgoingRequest,
    pub(super) tx: Option<oneshot::Sender<Answer>>,
}

/// A request to be sent now.
pub(super) struct Ready {
    pub(super) id: u64,
    pub(super) method: Cow<'static, str>,
    pub(super) params: Arc<str>,
    /// Whether there is no other request, neither sent nor waiting.
    pub(super) alone: bool,
}

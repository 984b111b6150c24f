//! A request at each step of its way: to be made, waiting for a place, sent, answered.

use std::{borrow::Cow, sync::Arc};

use tokio::sync::oneshot;

use super::{
    error::NoAnswer,
    reply::{OnReply, Outcome},
    window::{Lane, Place},
};

pub(super) type Answer = Result<Outcome, NoAnswer>;

/// A request that is to be made.
pub(crate) struct OutgoingRequest {
    pub(crate) method: Cow<'static, str>,
    /// The params as JSON text, shared with the caller: they are copied when they are sent.
    pub(crate) params: Arc<str>,
    pub(crate) lane: Lane,
    pub(crate) on_reply: Option<OnReply>,
}

/// A request that was sent and may be answered.
pub(super) struct Pending {
    /// `None` if only the hook waits for the answer.
    pub(super) tx: Option<oneshot::Sender<Answer>>,
    pub(super) on_reply: Option<OnReply>,
    pub(super) method: Cow<'static, str>,
    /// Its caller has gone.
    pub(super) is_forgotten: bool,
    /// How many requests were sent up to this one.
    pub(super) order: u64,
    /// `None` once it was given back.
    pub(super) place: Option<Place>,
}

impl Pending {
    /// Gives the caller the answer. Returns whether it is lost, as the caller has gone.
    pub(super) fn tell(self, answer: Answer) -> bool {
        self.tx.is_some_and(|tx| tx.send(answer).is_err())
    }
}

/// A request that waits in the window.
pub(crate) struct Waiting {
    pub(super) request: OutgoingRequest,
    pub(super) tx: Option<oneshot::Sender<Answer>>,
}

/// A request that is to be sent now.
pub(super) struct Ready {
    pub(super) id: u64,
    pub(super) method: Cow<'static, str>,
    pub(super) params: Arc<str>,
    /// There is no other one, neither sent nor waiting.
    pub(super) alone: bool,
}

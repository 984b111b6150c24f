//! Interrupts a turn that nobody wants any more, without a task and without waiting: when one
//! attempt is refused, the reader sends the next.

use std::sync::Weak;

use tracing::Level;

use super::Tracker;
use crate::{
    error::{RpcError, RpcErrorKind},
    protocol::{Call, TurnInterruptParams},
    rpc::error::ErrorObject,
};

/// How many attempts are made.
const TRIES: usize = 5;

impl Tracker {
    pub(super) fn interrupt(&self, thread: &str, turn: &str, attempt: usize) {
        let id = self.server_id(thread, turn);
        self.interrupt_as(thread, turn, &id, attempt);
    }

    fn interrupt_as(&self, thread: &str, turn: &str, id: &str, attempt: usize) {
        let Some(connection) = self.connection.get().and_then(Weak::upgrade) else {
            return;
        };
        let Ok(params) = serde_json::to_string(&TurnInterruptParams::new(thread, id)) else {
            return; // Two strings can be written.
        };
        let myself = self.myself.clone();
        let (thread, turn) = (thread.to_owned(), turn.to_owned());
        let on_reply = move |outcome: &Result<_, ErrorObject>| {
            let (Err(error), Some(tracker)) = (outcome, myself.upgrade()) else {
                return;
            };
            let error = RpcError::from(error);
            let again = attempt + 1 < TRIES && tracker.is_unwanted(&thread, &turn);
            match again.then(|| error.kind()) {
                // The turn has another id, unless this is another turn.
                Some(RpcErrorKind::TurnMismatch { actual, .. })
                    if !tracker.holds(&thread, &actual) =>
                {
                    tracker.interrupt_as(&thread, &turn, &actual, attempt + 1);
                }
                Some(RpcErrorKind::NoActiveTurn | RpcErrorKind::Overloaded) => {
                    tracker.interrupt(&thread, &turn, attempt + 1);
                }
                _ => {
                    tracker.aside.trace(Level::DEBUG, move || {
                        tracing::debug!(target: "cas_sdk", turn, %error, "an interrupt was refused");
                    });
                }
            }
        };
        connection.send_hooked(TurnInterruptParams::METHOD, &params, Box::new(on_reply));
    }

    pub(super) fn is_unwanted(&self, thread: &str, turn: &str) -> bool {
        self.turn(thread, turn, |turn| {
            let held = turn.held.as_ref();
            held.is_some_and(|held| held.unwanted && !held.is_over())
        })
        .unwrap_or(false)
    }
}

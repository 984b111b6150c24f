//! Warnings about handlers that the server never calls, given once, because nothing else would
//! report them.

use std::sync::atomic::Ordering;

use super::{
    method::{Approval, ServerMethod},
    set::Handlers,
};
use crate::protocol::{inventory, lifetimes};

impl Handlers {
    /// Warns about the handlers that a server of this version never calls, once for these handlers
    /// and their clones.
    pub(crate) fn warn_of_uncalled(&self, version: Option<&str>) {
        let Some(version) = version else {
            return;
        };
        let approvals = Approval::ALL.map(Approval::as_str);
        let registered: [(bool, &str, &[&str]); 4] = [
            (self.clock.is_some(), "Clock", &[ServerMethod::CURRENT_TIME]),
            (
                self.user_input.is_some(),
                "UserInput",
                &[ServerMethod::USER_INPUT],
            ),
            (
                self.elicitation.is_some(),
                "Elicitation",
                &[ServerMethod::ELICITATION],
            ),
            (self.approvals.is_some(), "Approvals", &approvals),
        ];
        for (is_registered, handler, methods) in registered {
            if is_registered
                && methods.iter().all(|method| is_never_sent(method, version))
                && !self.warned.swap(true, Ordering::Relaxed)
            {
                let method = methods[0];
                tracing::warn!(target: "cas_sdk", method, "codex {version} never sends {method}: the {handler} handler is never called");
            }
        }
    }
}

/// Decides by what is known about the version. For methods that this says nothing about, the
/// built-in schema decides.
fn is_never_sent(method: &str, version: &str) -> bool {
    match lifetimes::life(&format!("method {method}")) {
        Some(life) => !life.includes(version),
        None => !inventory().iter().any(|known| known.method == method),
    }
}

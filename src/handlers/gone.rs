//! Handlers of what the server never asks: said once, since nothing else would tell.

use std::sync::atomic::Ordering;

use super::Handlers;
use crate::{protocol::inventory, schema};

/// What asks for each handler.
const CLOCK: (&str, &[&str]) = ("Clock", &["currentTime/read"]);
const USER_INPUT: (&str, &[&str]) = ("UserInput", &["item/tool/requestUserInput"]);
const ELICITATION: (&str, &[&str]) = ("Elicitation", &["mcpServer/elicitation/request"]);
const APPROVALS: (&str, &[&str]) = (
    "Approvals",
    &[
        "item/commandExecution/requestApproval",
        "item/fileChange/requestApproval",
        "item/permissions/requestApproval",
        "skill/requestApproval",
    ],
);

impl Handlers {
    /// Warns of the handlers that a server of this version never calls, once for these handlers and their clones.
    pub(crate) fn warn_of_gone(&self, version: Option<&str>) {
        let Some(version) = version else {
            return;
        };
        let registered = [
            (self.clock.is_some(), CLOCK),
            (self.user_input.is_some(), USER_INPUT),
            (self.elicitation.is_some(), ELICITATION),
            (self.approvals.is_some(), APPROVALS),
        ];
        let gone = registered.into_iter().filter(|(registered, (_, methods))| {
            *registered && methods.iter().all(|method| is_gone(method, version))
        });
        for (_, (handler, methods)) in gone {
            if !self.warned.swap(true, Ordering::Relaxed) {
                let method = methods[0];
                tracing::warn!(target: "cas_sdk", method, "codex {version} never sends {method}: the {handler} handler is never called");
            }
        }
    }
}

/// By what is known of the version, and of what that says nothing of, by the built-in schema.
fn is_gone(method: &str, version: &str) -> bool {
    match schema::life(&format!("method {method}")) {
        Some(life) => !life.includes(version),
        None => !inventory().iter().any(|known| known.method == method),
    }
}

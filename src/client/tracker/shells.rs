//! Ends the shells that a turn has left running, when nobody wants the turn any more. Works without
//! a task and without waiting: when one request is answered, the reader sends the next.

use std::sync::{Arc, Weak};

use serde::Deserialize;
use serde_json::json;
use tracing::Level;

use super::Tracker;
use crate::{error::RpcError, rpc::Connection};

#[derive(Deserialize)]
pub(crate) struct Terminals {
    pub(crate) data: Vec<Terminal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terminal {
    pub(crate) item_id: String,
    pub(crate) process_id: String,
}

impl Tracker {
    /// Ends the commands of a finished turn that still run.
    pub(crate) fn end_shells(&self, thread: &str, turn: &str) {
        let Some(connection) = self.connection.get().and_then(Weak::upgrade) else {
            return;
        };
        let commands = self.commands(thread, turn);
        if commands.is_empty() {
            return;
        }
        let weak = Arc::downgrade(&connection);
        let thread = thread.to_owned();
        let params = json!({"threadId": thread}).to_string();
        let on_list = move |outcome: &crate::rpc::reply::Outcome| {
            let Some(connection) = weak.upgrade() else {
                return;
            };
            match outcome {
                Ok(reply) => {
                    let listed = serde_json::from_str::<Terminals>(reply.result());
                    let left = listed.map(|listed| listed.data).unwrap_or_default();
                    for terminal in left.iter().filter(|t| commands.contains(&t.item_id)) {
                        terminate(&connection, &thread, &terminal.process_id);
                    }
                }
                Err(error) => {
                    let error = RpcError::from(error);
                    connection.router.aside.trace(Level::DEBUG, move || {
                        tracing::debug!(target: "cas_sdk", thread, %error, "the shells of a turn can't be listed");
                    });
                }
            }
        };
        connection.send_hooked(
            "thread/backgroundTerminals/list",
            &params,
            Box::new(on_list),
        );
    }
}

fn terminate(connection: &Arc<Connection>, thread: &str, process: &str) {
    let weak: Weak<Connection> = Arc::downgrade(connection);
    let params = json!({"threadId": thread, "processId": process}).to_string();
    let (thread, process) = (thread.to_owned(), process.to_owned());
    let on_reply = move |outcome: &crate::rpc::reply::Outcome| {
        if let (Err(error), Some(connection)) = (outcome, weak.upgrade()) {
            let error = RpcError::from(error);
            connection.router.aside.trace(Level::DEBUG, move || {
                tracing::debug!(target: "cas_sdk", thread, process, %error, "a shell of a turn can't be ended");
            });
        }
    };
    connection.send_hooked(
        "thread/backgroundTerminals/terminate",
        &params,
        Box::new(on_reply),
    );
}

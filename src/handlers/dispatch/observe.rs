//! What the dispatcher looks for in notifications: what withdraws a request, and what a request
//! leaves out.

use std::sync::Weak;

use super::{Dispatch, Settled};
use crate::protocol::routing::RoutingKeys as _;
use crate::{
    client::Role,
    handlers::answer::Answer,
    protocol::pointer::raw_at,
    rpc::{Incoming, router::Dialect},
};

impl Dialect for Dispatch {
    fn observe(&self, message: &Incoming) {
        let parts = message.parts();
        // NB. Remember the policy before the facts change: a thread's policy is always either known
        // or remembered.
        if parts.method() == Some("thread/closed")
            && let Some(thread) = parts.thread()
        {
            self.threads().closing(thread);
        }
        self.tracker.observe(message);
        match parts.method().unwrap_or_default() {
            "serverRequest/resolved" => {
                let params = parts.params().unwrap_or_default();
                if let Ok(resolved) = raw_at(params, &["requestId"]) {
                    self.withdraw(Settled::Resolved, |id, _| is_same_id(id, resolved.get()));
                }
            }
            "account/updated" | "account/login/completed" => self.login_changed(),
            "item/started" => self.items.started(message),
            // The server does not send `serverRequest/resolved` for a tool call, but the call's
            // item ends.
            "item/completed" => {
                let (Some(thread), Some(item)) = (parts.thread(), parts.item()) else {
                    return;
                };
                self.items.completed(thread, item);
                self.tell_what_settings_forbid(message);
                self.withdraw(Settled::Over, |_, open| {
                    let of = open.message.parts();
                    (open.call_id.as_deref() == Some(item) || of.item() == Some(item))
                        && of.thread() == Some(thread)
                });
                self.take_over();
            }
            "turn/completed" => {
                let (Some(thread), Some(turn)) = (parts.thread(), parts.turn()) else {
                    return;
                };
                self.items.ended(thread);
                self.withdraw(Settled::Over, |_, open| {
                    let of = open.message.parts();
                    of.turn() == Some(turn) && of.thread() == Some(thread)
                });
            }
            "thread/closed" => {
                let Some(thread) = parts.thread() else { return };
                self.items.ended(thread);
                self.withdraw(Settled::Over, |_, open| {
                    open.message.parts().thread() == Some(thread)
                });
            }
            _ => {}
        }
    }

    fn request(&self, message: &Incoming) {
        self.accept(message);
    }

    fn skipped(&self, id: &str, len: u64) {
        if self.role != Role::Owner {
            return; // Whose it is can't be told.
        }
        let text = format!("the request has {len} bytes, more than is read");
        let answer = Answer::error(-32600, &text);
        if let Some(connection) = self.connection.get().and_then(Weak::upgrade) {
            connection.reply(id, answer.key, &answer.body);
        }
    }

    fn closed(&self) {
        self.tracker.close();
        self.close();
    }
}

/// Whether two ids are the same, though one may be written with escapes.
fn is_same_id(id: &str, other: &str) -> bool {
    let text = |id: &str| serde_json::from_str::<String>(id).ok();
    id == other || text(id).is_some_and(|id| text(other) == Some(id))
}

//! How this client's own requests change what is known of threads, and who answers the server.

use super::Dispatch;
use crate::{
    client::{
        handle::{Answering, WeakClient},
        tracker::HandlerSet,
    },
    rpc::reply::OnReply,
};

impl Answering for Dispatch {
    fn attach(&self, client: WeakClient) {
        let _ = self.client.set(client);
    }

    fn sending(
        &self,
        method: &str,
        params: &str,
        handlers: Option<&HandlerSet>,
        then: Option<OnReply>,
    ) -> Option<OnReply> {
        match method {
            // NB. A thread gets its handlers before anything else about it is routed, however it
            // was opened.
            "thread/start" | "thread/resume" | "thread/fork" => {
                let opening = self.threads().opening(method, handlers.cloned());
                Some(before(opening, then))
            }
            "account/login/start" | "account/login/cancel" | "account/logout" => {
                self.login_changed();
                Some(before(self.logging_in(method, params), then))
            }
            "thread/unsubscribe" => Some(before(self.unfollowing(params), then)),
            _ => then,
        }
    }
}

/// Runs `first` before what was to run anyway.
fn before(first: OnReply, then: Option<OnReply>) -> OnReply {
    match then {
        None => first,
        Some(then) => Box::new(move |outcome| {
            first(outcome);
            then(outcome);
        }),
    }
}

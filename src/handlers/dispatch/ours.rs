//! Which requests this client answers by itself.

use super::{Dispatch, Open, settled::Settled};
use crate::{
    client::Role,
    handlers::method::ServerMethod,
    protocol::{pointer::at, routing::RoutingKeys as _},
    rpc::{
        Incoming,
        reply::{OnReply, Outcome},
    },
};

impl Dispatch {
    /// Whether this client answers a request by itself. An answer is a vote, and the first vote
    /// wins, even a refusal: an answer to a request of others would take the decision from whoever
    /// runs the session.
    pub(super) fn is_ours(&self, message: &Incoming) -> bool {
        let parts = message.parts();
        if self.role == Role::Owner {
            return true;
        }
        match ServerMethod::of(parts.method().unwrap_or_default()) {
            ServerMethod::AuthRefresh => {
                let params = parts.params().unwrap_or_default();
                let previous = at::<String>(params, &["previousAccountId"]).ok();
                self.login.is_of(previous.as_deref())
            }
            // The server asks one client, which has said that it can answer.
            ServerMethod::Attestation => self.attestation.is_some(),
            _ => self.threads.is_started_here(parts.thread()),
        }
    }

    /// What runs when the server has answered a request about the login.
    pub(super) fn logging_in(&self, method: &str, params: &str) -> OnReply {
        // Tokens of a client are the only login for which the server asks the client again.
        let is_external = at::<String>(params, &["type"]).is_ok_and(|t| t == "chatgptAuthTokens");
        let account = at::<String>(params, &["chatgptAccountId"]).ok();
        let account = account.filter(|_| is_external && method == "account/login/start");
        let changes = method != "account/login/cancel";
        let dispatch = self.myself.clone();
        Box::new(move |outcome: &Outcome| {
            let Some(dispatch) = dispatch.upgrade() else {
                return;
            };
            dispatch.login_changed();
            if changes && outcome.is_ok() {
                dispatch.login.set(account);
            }
        })
    }

    /// What runs when the server has ended a subscription: it no longer tells what becomes of the
    /// turns, and of the requests of others.
    pub(super) fn unfollowing(&self, params: &str) -> OnReply {
        let thread = at::<String>(params, &["threadId"]).ok();
        let dispatch = self.myself.clone();
        Box::new(move |outcome: &Outcome| {
            if let (Ok(_), Some(dispatch)) = (outcome, dispatch.upgrade()) {
                if let Some(thread) = &thread {
                    dispatch.tracker.unfollow(thread);
                }
                dispatch.withdraw(Settled::Unfollowed, |_, open| {
                    !open.is_ours && open.message.parts().thread() == thread.as_deref()
                });
            }
        })
    }

    /// Answers the requests of threads that have turned out to be this client's: a sub-agent may
    /// ask before the call that spawned it is over.
    pub(super) fn take_over(&self) {
        if self.role == Role::Owner {
            return;
        }
        let ours = |open: &mut Open| {
            let newly = !open.is_ours && self.is_ours(&open.message);
            open.is_ours |= newly;
            newly
        };
        let newly: Vec<Incoming> = {
            let mut table = self.table.lock();
            let open = table.open.values_mut().filter_map(|open| {
                let newly = ours(open);
                newly.then(|| open.message.clone())
            });
            open.collect()
        };
        for message in &newly {
            self.start(message);
        }
    }
}

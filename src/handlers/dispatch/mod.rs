//! Server requests: each runs in a task of its own and is answered exactly once.
//!
//! The table of open requests decides: whoever claims an entry settles the request. A handler's
//! answer, a handler's panic, the server's notice that somebody else has answered, the end of the
//! turn and the end of the connection all go through the table.

mod approval;
mod call;
mod changes;
mod claim;
#[cfg(test)]
mod claim_tests;
mod decide;
mod explicit;
mod guarded;
mod immediate;
mod items;
mod login;
mod observe;
mod ours;
mod pending;
mod refresh;
mod route;
mod sending;
mod settings;
mod settle;
mod settled;
mod threads;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, Weak},
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};
use tracing::Level;

use self::{claim::Claim, items::Items, login::Login, refresh::Refresher};
use super::{
    answer::Answer, context::RequestContext, fallback::Responder, method::ServerMethod,
    policy::AuditFn, request::request_id, set::Handlers, user_code::Handler,
};
use crate::protocol::routing::RoutingKeys as _;
use crate::{
    client::{Role, handle::WeakClient, tracker::Tracker},
    protocol::pointer::at,
    rpc::{Aside, Connection, Incoming, Lock},
};

pub use changes::{PendingRequestChange, PendingRequestChanges};
pub use pending::PendingRequest;
pub use settled::Settled;
pub(crate) use threads::Threads;

/// How many server requests are answered at the same time; further requests get "overloaded".
const MAX_CONCURRENT: usize = 256;

pub(crate) struct Dispatch {
    role: Role,
    threads: Arc<Threads>,
    items: Items,
    refresher: Refresher,
    login: Login,
    attestation: Option<Handler<(), String>>,
    audit: Option<AuditFn>,
    /// Held while the audit is called, so that it gets one decision after the other.
    auditing: tokio::sync::Mutex<()>,
    aside: Aside,
    tracker: Arc<Tracker>,
    table: Lock<Table>,
    /// Woken after each change of the table.
    changes: watch::Sender<()>,
    /// The stream that takes the requests that no handler claims.
    unclaimed: Lock<Option<mpsc::Sender<Responder>>>,
    connection: OnceLock<Weak<Connection>>,
    client: OnceLock<WeakClient>,
    myself: Weak<Self>,
}

#[derive(Default)]
struct Table {
    open: HashMap<Box<str>, Open>,
    /// Whether the connection has ended: no further request is accepted.
    closed: bool,
}

/// A request that has not been answered.
struct Open {
    message: Incoming,
    /// Whether this client has to answer the request.
    is_ours: bool,
    /// The item of a tool call. The completion of the item withdraws the call.
    call_id: Option<String>,
    task: Option<AbortHandle>,
    /// Who answers the request. The answer is sent as soon as the audit has returned.
    claim: Option<Claim>,
    /// Says why the request no longer waits, once it does not.
    settled: watch::Sender<Option<Settled>>,
}

impl Dispatch {
    pub(crate) fn new(
        handlers: Handlers,
        tracker: Arc<Tracker>,
        aside: Aside,
        role: Role,
    ) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            role,
            items: Items::default(),
            refresher: Refresher::new(handlers.auth_refresh.clone()),
            login: Login::default(),
            attestation: handlers.attestation.clone(),
            audit: handlers.audit.clone(),
            threads: Threads::new(handlers, tracker.clone()),
            auditing: tokio::sync::Mutex::default(),
            tracker,
            aside,
            table: Lock::default(),
            changes: watch::Sender::default(),
            unclaimed: Lock::default(),
            connection: OnceLock::new(),
            client: OnceLock::new(),
            myself: myself.clone(),
        })
    }

    pub(crate) fn threads(&self) -> &Arc<Threads> {
        &self.threads
    }

    pub(crate) fn attach_connection(&self, connection: &Arc<Connection>) {
        let _ = self.connection.set(Arc::downgrade(connection));
    }

    /// Returns a stream of the requests that no handler claims, in the place of the previous
    /// stream.
    pub(crate) fn take_unclaimed(&self) -> mpsc::Receiver<Responder> {
        let (sender, receiver) = mpsc::channel(MAX_CONCURRENT);
        let mut unclaimed = self.unclaimed.lock();
        // NB. This holds the lock of `unclaimed`. The end of the connection closes the table before
        // it takes the sender out, so it takes out every sender that is stored before the table is
        // closed.
        let closed = self.table.lock().closed;
        let before = (!closed).then(|| unclaimed.replace(sender));
        drop(unclaimed);
        drop(before);
        receiver
    }

    /// Records a login or logout: tokens from before it are no longer handed out.
    pub(crate) fn login_changed(&self) {
        self.refresher.login_changed();
    }

    /// Accepts a server request.
    fn accept(&self, message: &Incoming) {
        let parts = message.parts();
        let Some(id) = parts.id().map(Box::<str>::from) else {
            return;
        };
        let is_ours = self.is_ours(message);
        let full = {
            let mut table = self.table.lock();
            if table.closed {
                return;
            }
            if table.open.contains_key(&id) {
                // The server sends an open request again when its thread is resumed.
                drop(table);
                self.aside.trace(Level::DEBUG, move || {
                    tracing::debug!(target: "cas_sdk", id = &*id, "a request that is being answered was sent again");
                });
                return;
            }
            let others = table.open.values().filter(|open| open.is_ours == is_ours);
            let full = others.count() >= MAX_CONCURRENT;
            if full && !is_ours {
                return;
            }
            let call_id = call_id(parts.params().unwrap_or_default());
            table.open.insert(
                id.clone(),
                Open {
                    message: message.clone(),
                    is_ours,
                    call_id,
                    task: None,
                    claim: None,
                    settled: watch::Sender::default(),
                },
            );
            full
        };
        self.changes.send_replace(());
        if full {
            let text = "too many requests are being answered; retry later";
            self.settle(message, &Answer::error(-32001, text));
        } else if is_ours {
            self.start(message);
        }
    }

    /// Answers an open request of this client: at once, or in a task.
    fn start(&self, message: &Incoming) {
        let Some(myself) = self.myself.upgrade() else {
            return;
        };
        // Only this crate's own code and the rules of a policy run here, in the reader.
        let immediate = catch_unwind(AssertUnwindSafe(|| self.answer_immediately(message)))
            .unwrap_or_else(|_| Some(self.failed()));
        let immediate = match immediate {
            Some(answer) if !self.is_audited(message, &answer) => {
                self.settle(message, &answer);
                return;
            }
            other => other,
        };
        let task = tokio::spawn({
            let message = message.clone();
            async move {
                let answer = if let Some(answer) = immediate {
                    answer
                } else {
                    let answer = AssertUnwindSafe(myself.answer(&message)).catch_unwind();
                    answer.await.unwrap_or_else(|_| myself.failed())
                };
                myself.audit_and_settle(&message, &answer).await;
            }
        });
        self.own(message, task.abort_handle());
    }

    /// Ends the handlers of requests that nobody waits for any more.
    fn withdraw(&self, why: Settled, gone: impl Fn(&str, &Open) -> bool) {
        let withdrawn: Vec<_> = self
            .table
            .lock()
            .open
            .extract_if(|id, open| open.claim.is_none() && gone(id, open))
            .collect();
        if withdrawn.is_empty() {
            return;
        }
        for (_, open) in withdrawn {
            open.settled.send_replace(Some(why));
            if let Some(task) = open.task {
                task.abort();
            }
        }
        self.changes.send_replace(());
    }

    fn close(&self) {
        self.table.lock().closed = true;
        self.withdraw(Settled::Closed, |_, _| true);
        self.changes.send_replace(());
        self.refresher.close(&self.aside);
        let unclaimed = self.unclaimed.lock().take();
        drop(unclaimed);
    }

    fn context(&self, message: &Incoming, thread: Option<String>) -> Option<RequestContext> {
        let parts = message.parts();
        let text = |part: Option<&str>| part.map(str::to_owned);
        Some(RequestContext {
            client: self.client.get()?.upgrade()?,
            request_id: request_id(message),
            thread_id: thread,
            turn_id: text(parts.turn()),
            item_id: text(parts.item()),
        })
    }

    /// The answer of a client with a bug.
    fn failed(&self) -> Answer {
        self.aside.trace(Level::ERROR, || {
            tracing::error!(target: "cas_sdk", "answering a request of the server panicked");
        });
        Answer::error(-32603, "the client failed")
    }
}

/// Whether a request asks for a decision, which is reported to the audit.
fn is_decision(message: &Incoming) -> bool {
    ServerMethod::of(message.parts().method().unwrap_or_default()).is_decision()
}

fn call_id(params: &str) -> Option<String> {
    at(params, &["callId"]).ok()
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn a_stream_of_requests_that_is_asked_for_during_the_end_ends() {
        for _ in 0..300 {
            let aside = Aside::new();
            let tracker = Tracker::new(aside.clone());
            let dispatch = Dispatch::new(Handlers::new(), tracker, aside, Role::Owner);
            let both = Barrier::new(2);
            let mut stream = thread::scope(|scope| {
                let held = dispatch.unclaimed.lock();
                let taking = scope.spawn(|| {
                    both.wait();
                    dispatch.take_unclaimed()
                });
                let closing = scope.spawn(|| {
                    both.wait();
                    dispatch.close();
                });
                while !dispatch.table.lock().closed {
                    thread::yield_now();
                }
                drop(held);
                closing.join().unwrap();
                taking.join().unwrap()
            });
            assert!(matches!(
                stream.try_recv(),
                Err(mpsc::error::TryRecvError::Disconnected)
            ));
        }
    }
}

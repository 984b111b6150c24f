//! Requests of the server: each runs in a task of its own and is answered exactly once.
//!
//! The table of open requests is the truth: whoever takes an entry out settles it. A handler's answer, its panic, the
//! server's word that somebody else has answered, the end of the turn and the end of the connection all go through it.

mod answer;
mod at_once;
mod guarded;
mod observe;
mod pending;
mod refresh;
mod route;
mod settings;
mod threads;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use futures_util::FutureExt as _;
use tokio::{sync::mpsc, task::AbortHandle};

use self::refresh::Refresher;
use crate::{
    client::WeakClient,
    handler::{Erased, Handlers, RefreshRequest, RequestContext, Responder, Tokens, request_id},
    log::{self, About},
    policy::AuditFn,
    read::at,
    rpc::{Connection, Incoming},
    tracker::Tracker,
};

pub(crate) use answer::Answer;
pub use pending::PendingRequest;
pub(crate) use threads::Threads;

/// How many server requests are worked on at once; more get "overloaded".
const AT_ONCE: usize = 256;

/// Everything that answers: the handlers of the client, and those that belong to no thread.
#[derive(Clone, Default)]
pub(crate) struct Desk {
    pub(crate) handlers: Handlers,
    pub(crate) auth_refresh: Option<Erased<RefreshRequest, Tokens>>,
    pub(crate) attestation: Option<Erased<(), String>>,
    pub(crate) audit: Option<AuditFn>,
}

pub(crate) struct Dispatch {
    threads: Arc<Threads>,
    refresher: Refresher,
    attestation: Option<Erased<(), String>>,
    audit: Option<AuditFn>,
    tracker: Arc<Tracker>,
    table: Mutex<Table>,
    /// Who takes what no handler claims.
    unclaimed: Mutex<Option<mpsc::Sender<Responder>>>,
    connection: OnceLock<Weak<Connection>>,
    client: OnceLock<WeakClient>,
    myself: Weak<Self>,
}

#[derive(Default)]
struct Table {
    open: HashMap<Box<str>, Open>,
    /// The connection has ended: nothing is taken any more.
    closed: bool,
}

/// A request that has not been answered.
struct Open {
    message: Incoming,
    /// The item of a tool call: its completion withdraws the call.
    call_id: Option<String>,
    task: Option<AbortHandle>,
}

impl Dispatch {
    pub(crate) fn new(desk: Desk) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            threads: Threads::new(desk.handlers),
            refresher: Refresher::new(desk.auth_refresh),
            attestation: desk.attestation,
            audit: desk.audit,
            tracker: Tracker::new(),
            table: Mutex::default(),
            unclaimed: Mutex::default(),
            connection: OnceLock::new(),
            client: OnceLock::new(),
            myself: myself.clone(),
        })
    }

    pub(crate) fn threads(&self) -> &Arc<Threads> {
        &self.threads
    }

    pub(crate) fn tracker(&self) -> &Arc<Tracker> {
        &self.tracker
    }

    pub(crate) fn attach(&self, connection: &Arc<Connection>) {
        let _ = self.connection.set(Arc::downgrade(connection));
        self.tracker.attach(connection);
    }

    pub(crate) fn attach_client(&self, client: WeakClient) {
        let _ = self.client.set(client);
    }

    /// A stream of what no handler claims, in the place of the one before.
    pub(crate) fn take_unclaimed(&self) -> mpsc::Receiver<Responder> {
        let (sender, receiver) = mpsc::channel(AT_ONCE);
        if !self.lock().closed {
            *self
                .unclaimed
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(sender);
        }
        receiver
    }

    /// What waits for an answer, the oldest first.
    pub(crate) fn pending(&self) -> Vec<PendingRequest> {
        let open: Vec<_> = self
            .lock()
            .open
            .values()
            .map(|o| o.message.clone())
            .collect();
        pending::sorted(&open)
    }

    /// Takes a request of the server.
    fn accept(&self, message: &Incoming) {
        let (parts, Some(myself)) = (message.parts(), self.myself.upgrade()) else {
            return;
        };
        let Some(id) = parts.id().map(Box::<str>::from) else {
            return;
        };
        {
            let mut table = self.lock();
            if table.closed {
                return;
            }
            if table.open.contains_key(&id) {
                // A request that is still open is sent again when its thread is resumed.
                let about = About::default().id(&id);
                log::debug(&"a request that is being answered was sent again", about);
                return;
            }
            let full = table.open.len() >= AT_ONCE;
            let call_id = call_id(parts.params().unwrap_or_default());
            table.open.insert(
                id.clone(),
                Open {
                    message: message.clone(),
                    call_id,
                    task: None,
                },
            );
            if full {
                drop(table);
                let text = "too many requests are being answered; retry later";
                self.settle(message, Answer::error(-32001, text));
                return;
            }
        }
        let at_once = catch_unwind(AssertUnwindSafe(|| self.at_once(message)));
        if let Some(answer) = at_once.unwrap_or_else(|_| Some(failed())) {
            self.settle(message, answer);
            return;
        }
        let task = tokio::spawn({
            let message = message.clone();
            async move {
                let answer = AssertUnwindSafe(myself.answer(&message)).catch_unwind();
                let answer = answer.await.unwrap_or_else(|_| failed());
                myself.settle(&message, answer);
            }
        });
        // The task is owned by its entry, unless it has settled already or the connection has just ended.
        match self.lock().open.get_mut(&id) {
            Some(open) => open.task = Some(task.abort_handle()),
            None => task.abort(),
        }
    }

    /// Answers an open request; does nothing if it is no longer open.
    fn settle(&self, message: &Incoming, answer: Answer) {
        let parts = message.parts();
        let Some(id) = parts.id() else { return };
        {
            let mut table = self.lock();
            // The server may use the id of a withdrawn request for another.
            if table
                .open
                .get(id)
                .is_none_or(|open| open.message.seq() != message.seq())
            {
                return;
            }
            table.open.remove(id);
        }
        if let Some(decided) = answer.decided
            && is_decision(parts.method().unwrap_or_default())
        {
            decided.tell(message, &answer.body, self.audit.as_ref());
        }
        if let Some(connection) = self.connection.get().and_then(Weak::upgrade) {
            connection.reply(id, answer.key, &answer.body);
        }
    }

    /// Ends the handlers of requests that nobody waits for any more.
    fn withdraw(&self, gone: impl Fn(&str, &Open) -> bool) {
        let mut tasks = Vec::new();
        self.lock().open.retain(|id, open| {
            let gone = gone(id, open);
            if gone {
                tasks.extend(open.task.take());
            }
            !gone
        });
        for task in tasks {
            task.abort();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.withdraw(|_, _| true);
        self.threads.all_closed();
        self.refresher.close();
        let unclaimed = self
            .unclaimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(unclaimed);
    }

    fn context(&self, message: &Incoming) -> Option<RequestContext> {
        let parts = message.parts();
        let text = |part: Option<&str>| part.map(str::to_owned);
        Some(RequestContext {
            client: self.client.get()?.upgrade()?,
            request_id: request_id(message),
            thread_id: text(parts.thread()),
            turn_id: text(parts.turn()),
            item_id: text(parts.item()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer of a client with a bug.
fn failed() -> Answer {
    log::error(
        &"answering a request of the server panicked",
        About::default(),
    );
    Answer::error(-32603, "the client failed")
}

/// Whether a method asks for a decision, which the audit is told.
fn is_decision(method: &str) -> bool {
    method.ends_with("/requestApproval") || method == "mcpServer/elicitation/request"
}

fn call_id(params: &str) -> Option<String> {
    at(params, &["callId"]).ok()
}

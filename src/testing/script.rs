//! The script of a `MockModel` and its record: the state behind the handle and the server.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, MutexGuard},
};

use axum::http::Method;
use serde_json::Value;
use tokio::sync::watch;

use super::{record::Record, reply::Reply, request::ModelRequest, routes::Routes};
use crate::rpc::Lock;

/// The script and the record of a model, which its handle and its server share.
pub(super) struct Script {
    state: Lock<State>,
    /// The number of recorded requests.
    pub(super) arrivals: watch::Sender<usize>,
}

pub(super) struct State {
    pub(super) replies: VecDeque<Reply>,
    pub(super) responder: Option<Responder>,
    pub(super) otherwise: Option<Reply>,
    pub(super) bearer: Option<String>,
    pub(super) routes: Routes,
    pub(super) record: Record,
    pub(super) unexpected: Vec<String>,
}

type Responder = Arc<dyn Fn(&ModelRequest) -> Option<Reply> + Send + Sync>;

/// The reason why a model request gets no reply.
#[derive(Debug)]
pub(super) enum Refusal {
    Bearer,
    Unscripted,
}

impl Script {
    pub(super) fn new() -> Self {
        let state = State {
            replies: VecDeque::new(),
            responder: None,
            otherwise: None,
            bearer: None,
            routes: Routes::new(),
            record: Record::default(),
            unexpected: Vec::new(),
        };
        Self {
            state: Lock::new(state),
            arrivals: watch::Sender::new(0),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Records a model request and finds its reply.
    pub(super) fn answer(&self, request: &ModelRequest) -> Result<Reply, Refusal> {
        let (responder, otherwise) = {
            let mut state = self.state();
            state.record.push(request.clone());
            self.arrivals.send_replace(state.record.count());
            if state.bearer.is_some() && state.bearer.as_deref() != request.bearer() {
                return Err(Refusal::Bearer);
            }
            if let Some(reply) = state.replies.pop_front() {
                return Ok(reply);
            }
            (state.responder.clone(), state.otherwise.clone())
        };
        // Not under the lock: the function may use the model.
        let reply = responder.and_then(|respond| respond(request));
        reply.or(otherwise).ok_or(Refusal::Unscripted)
    }

    pub(super) fn side_route(&self, method: Method, path: &str) -> Option<(u16, Value)> {
        self.state().routes.answer(method, path)
    }

    pub(super) fn unexpected(&self, what: String) {
        self.state().unexpected.push(what);
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MockModel")
            .field("requests", &state.record.requests)
            .field("queued_replies", &state.replies.len())
            .field("unexpected", &state.unexpected)
            .finish_non_exhaustive()
    }
}

//! Settles open requests. Whoever claims a request answers it, and nobody else does, so the audit
//! is called with the answer that is sent.

use std::sync::Weak;

use tokio::task::AbortHandle;

use super::{
    Dispatch, Open, Settled,
    claim::{Claim, Unclaimable},
    is_decision,
};
use crate::{
    handlers::{answer::Answer, policy::Audit},
    rpc::Incoming,
};

impl Dispatch {
    /// Claims an open request. From then on, only [`send`](Self::send) removes it from the table.
    /// Returns the task of its handler, for a caller that answers in the handler's place.
    pub(super) fn claim(
        &self,
        message: &Incoming,
        claim: Claim,
    ) -> Result<Option<AbortHandle>, Unclaimable> {
        let mut table = self.table.lock();
        let open = table.open_mut(message).ok_or(Unclaimable::Settled)?;
        if open.claim.is_some() {
            return Err(Unclaimable::Claimed);
        }
        open.claim = Some(claim);
        Ok(open.task.take())
    }

    /// Stores the task of a request's handler in the entry of the request, which owns it from then
    /// on.
    pub(super) fn own(&self, message: &Incoming, task: AbortHandle) {
        let mut table = self.table.lock();
        match table.open_mut(message).map(|open| (open.claim, open)) {
            Some((None, open)) => open.task = Some(task),
            // The task itself has claimed the request already.
            Some((Some(Claim::Handlers), _)) => {}
            // Somebody else is answering, the task has already settled the request, or the
            // connection has just ended.
            Some((Some(Claim::Caller), _)) | None => {
                drop(table);
                task.abort();
            }
        }
    }

    /// Claims a request for the handlers and answers it, after the audit. Does nothing if the
    /// request can't be claimed.
    pub(super) async fn audit_and_settle(&self, message: &Incoming, answer: &Answer) {
        if !self.is_audited(message, answer) {
            self.settle(message, answer);
            return;
        }
        let turn = self.auditing.lock().await;
        // NB. Not before this request's turn: until then the request may be withdrawn.
        if self.claim(message, Claim::Handlers).is_ok() {
            self.audit(message, answer).await;
            drop(turn);
            self.send(message, answer);
        }
    }

    /// Claims a request for the handlers and answers it, without an audit. Does nothing if the
    /// request can't be claimed.
    pub(super) fn settle(&self, message: &Incoming, answer: &Answer) {
        if self.claim(message, Claim::Handlers).is_ok() {
            self.send(message, answer);
        }
    }

    /// Answers a request that the caller has claimed, after the audit.
    pub(super) async fn audit_and_send(&self, message: &Incoming, answer: &Answer) {
        let turn = self.auditing.lock().await;
        self.audit(message, answer).await;
        drop(turn);
        self.send(message, answer);
    }

    /// Sends the answer to a request that the caller has claimed.
    pub(super) fn send(&self, message: &Incoming, answer: &Answer) {
        let Some(id) = message.parts().id() else {
            return;
        };
        let settled = self.table.lock().open.remove(id);
        // The entry drops its task, so not under the lock.
        if let Some(open) = settled {
            open.settled.send_replace(Some(Settled::Answered));
        }
        self.changes.send_replace(());
        if let Some(decided) = &answer.decided
            && is_decision(message)
        {
            decided.log(message, &self.aside);
        }
        if let Some(connection) = self.connection.get().and_then(Weak::upgrade) {
            connection.reply(id, answer.key, &answer.body);
        }
    }

    /// Whether the audit is called with this answer before it is sent.
    pub(super) fn is_audited(&self, message: &Incoming, answer: &Answer) -> bool {
        self.audit.is_some() && answer.decided.is_some() && is_decision(message)
    }

    /// Calls the audit with an answer that is about to be sent.
    async fn audit(&self, message: &Incoming, answer: &Answer) {
        if let Some(decided) = answer.decided.clone() {
            let event = decided.into_audit(message, &answer.body);
            self.call_audit(event).await;
        }
    }

    /// Calls the user's audit, which may block, on a thread that may block.
    pub(super) async fn call_audit(&self, event: Audit) {
        let Some(audit) = self.audit.clone() else {
            return;
        };
        let told = audit.run_blocking(move |audit| audit(&event)).await;
        // An audit that panics must not keep the answer from the server.
        if told.is_err_and(|error| error.is_panic()) {
            tracing::error!(target: "cas_sdk", "the audit panicked");
        }
    }
}

impl super::Table {
    /// Returns the entry of a request. The server may reuse the id of a withdrawn request for
    /// another one.
    fn open_mut(&mut self, message: &Incoming) -> Option<&mut Open> {
        let open = self.open.get_mut(message.parts().id()?)?;
        (open.message.seq() == message.seq()).then_some(open)
    }
}

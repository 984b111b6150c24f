//! Whose login a request for new tokens is about.

use crate::rpc::Lock;

/// The account of the login that this client has made, if codex asks its client for new tokens.
#[derive(Default)]
pub(super) struct Login(Lock<Option<String>>);

impl Login {
    pub(super) fn set(&self, account: Option<String>) {
        *self.0.lock() = account;
    }

    /// Whether a request for new tokens is about this login. All clients get the request, and the
    /// others have made no login or another one.
    pub(super) fn is_of(&self, previous: Option<&str>) -> bool {
        let account = self.0.lock();
        account
            .as_deref()
            .is_some_and(|account| previous.is_none_or(|previous| previous == account))
    }
}

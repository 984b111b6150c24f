//! `account/chatgptAuthTokens/refresh`: new tokens, if this program and not codex manages the
//! login.

use std::{fmt, future::Future};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{context::RequestContext, error::HandlerError, user_code::Asked};

/// Answers `account/chatgptAuthTokens/refresh`, which codex sends when a backend has refused the
/// token from `account/login/start`.
///
/// Requests for one account share their tokens: a request that comes while another is being
/// answered, or up to 3 s after new tokens came, gets the same tokens. Two threads that expire at
/// once therefore cause one refresh. A login, a logout, `account/updated` and a request for another
/// account end the sharing. The server waits 10 s and then fails the turn; a handler is stopped
/// after 8 s. A closure `|request: RefreshRequest, cx| async { … }` is an `AuthRefresh` too.
pub trait AuthRefresh: Send + Sync + 'static {
    /// Returns new tokens for the account that the request names.
    ///
    /// # Errors
    /// The turn fails. The server passes on the code of the error, not its text.
    fn refresh(
        &self,
        request: RefreshRequest,
        cx: RequestContext,
    ) -> impl Future<Output = Result<ChatgptTokens, HandlerError>> + Send;
}

impl<F, R> AuthRefresh for F
where
    F: Fn(RefreshRequest, RequestContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<ChatgptTokens, HandlerError>> + Send,
{
    fn refresh(
        &self,
        request: RefreshRequest,
        cx: RequestContext,
    ) -> impl Future<Output = Result<ChatgptTokens, HandlerError>> + Send {
        self(request, cx)
    }
}

/// The reason for a refresh, and the account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct RefreshRequest {
    /// The reason. `unauthorized`: a backend answered 401.
    pub reason: String,
    /// The account that codex has used until now.
    pub previous_account_id: Option<String>,
}

/// The tokens that codex logs in with. `Debug` does not show the access token.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatgptTokens {
    access_token: String,
    chatgpt_account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chatgpt_plan_type: Option<String>,
}

impl ChatgptTokens {
    /// Makes tokens from an access token (a JWT) and the id of its account, which must be the
    /// account that codex used before.
    #[must_use]
    pub fn new(access_token: impl Into<String>, account_id: impl Into<String>) -> Self {
        Self {
            access_token: access_token.into(),
            chatgpt_account_id: account_id.into(),
            chatgpt_plan_type: None,
        }
    }

    /// Sets the plan of the account, such as `pro`. By default codex reads the plan from the token.
    #[must_use]
    pub fn plan(mut self, plan: impl Into<String>) -> Self {
        self.chatgpt_plan_type = Some(plan.into());
        self
    }
}

impl fmt::Debug for ChatgptTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatgptTokens")
            .field("chatgpt_account_id", &self.chatgpt_account_id)
            .field("chatgpt_plan_type", &self.chatgpt_plan_type)
            .finish_non_exhaustive()
    }
}

impl<H: AuthRefresh> Asked<RefreshRequest, ChatgptTokens> for H {
    fn ask(
        &self,
        request: RefreshRequest,
        cx: RequestContext,
    ) -> BoxFuture<'_, Result<ChatgptTokens, HandlerError>> {
        Box::pin(self.refresh(request, cx))
    }
}

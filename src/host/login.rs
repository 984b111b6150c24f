//! Logging in with a browser, a code, a key or tokens, and waiting for the login to complete.

use std::{fmt, time::Duration};

use serde_json::json;
use tokio::time::{timeout, timeout_at};

use crate::{
    client::handle::CasClient,
    client::time,
    error::{Error, RpcError},
    events::Events,
    events::Filter,
    protocol::{
        AccountLoginCompletedNotification, AccountLogoutParams, ApiKeyLoginAccountParams,
        CancelLoginAccountParams, ChatgptAuthTokensLoginAccountParams, ChatgptLoginAccountParams,
        GetAccountParams, GetAccountResponse, LoginAccountParams, LoginAccountResponse,
    },
};

const COMPLETED: &str = "account/login/completed";
/// How long the user may take by default.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long `account/updated` may come after the end of the login.
const UPDATE: Duration = Duration::from_secs(1);

impl CasClient {
    /// Logs in to the account that turns are charged to. Each method of [`Login`] starts a login
    /// and returns what to show the user.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// let login = client.login().device_code().await?;
    /// println!("Open {} and enter {}.", login.url().unwrap(), login.user_code().unwrap());
    /// let account = login.wait().await?;
    /// # Ok(()) }
    /// ```
    pub fn login(&self) -> Login {
        Login {
            client: self.clone(),
        }
    }

    /// `account/read`: returns who is logged in. `account` is `None` if nobody is, or if the
    /// configured model provider needs no OpenAI login.
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request).
    pub async fn account(&self) -> Result<GetAccountResponse, Error> {
        self.request(GetAccountParams::default()).await
    }

    /// `account/logout`: forgets the login, including the stored one.
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request).
    pub async fn logout(&self) -> Result<(), Error> {
        self.request(AccountLogoutParams).await.map(drop)
    }
}

/// The ways to log in; see [`CasClient::login`]. A server has one login at a time: starting another
/// login ends the previous one.
#[derive(Debug, Clone)]
#[must_use = "nothing is started until one of the ways is chosen"]
pub struct Login {
    client: CasClient,
}

impl Login {
    /// Logs in with ChatGPT, in a browser on the server's machine. The server listens on port 1455
    /// or 1457 for the browser's answer. Another codex on that machine that starts such a login
    /// ends this one.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn chatgpt(self) -> Result<PendingLogin, Error> {
        self.start(ChatgptLoginAccountParams::default().into())
            .await
    }

    /// Logs in with ChatGPT, in any browser, with a code that the user enters there.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn device_code(self) -> Result<PendingLogin, Error> {
        self.start(LoginAccountParams::ChatgptDeviceCode).await
    }

    /// Logs in with an API key. The server stores the key and does not check it: a wrong key fails
    /// the first turn.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn api_key(self, key: impl Into<String>) -> Result<PendingLogin, Error> {
        self.start(ApiKeyLoginAccountParams::new(key).into()).await
    }

    /// Logs in with a ChatGPT access token that your program has, for the account with this id. The
    /// server keeps the token in memory only, and renews it through
    /// [`AuthRefresh`](crate::handlers::AuthRefresh). Experimental.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn tokens(
        self,
        account_id: impl Into<String>,
        access_token: impl Into<String>,
    ) -> Result<PendingLogin, Error> {
        let params = ChatgptAuthTokensLoginAccountParams::new(account_id, access_token);
        self.start(params.into()).await
    }

    async fn start(self, params: LoginAccountParams) -> Result<PendingLogin, Error> {
        let client = self.client;
        // NB. Subscribe before the request is sent: a login that needs no user completes before the
        // response.
        let filter = Filter::all().method(COMPLETED).method("account/updated");
        let events = client.events(filter);
        let (mut login_id, mut url, mut user_code) = (None, None, None);
        match client.request(params).await? {
            LoginAccountResponse::Chatgpt(started) => {
                login_id = Some(started.login_id);
                url = Some(started.auth_url);
            }
            LoginAccountResponse::ChatgptDeviceCode(started) => {
                login_id = Some(started.login_id);
                url = Some(started.verification_url);
                user_code = Some(started.user_code);
            }
            _ => {}
        }
        Ok(PendingLogin {
            client,
            events,
            login_id,
            url,
            user_code,
            patience: PATIENCE,
            over: false,
        })
    }
}

/// A login that waits for the user; see [`CasClient::login`]. Dropping it before its end cancels
/// the login.
#[must_use = "a login that is dropped is cancelled"]
pub struct PendingLogin {
    client: CasClient,
    events: Events,
    login_id: Option<String>,
    url: Option<String>,
    user_code: Option<String>,
    patience: Duration,
    over: bool,
}

impl PendingLogin {
    /// The URL that the user has to open; `None` for a login that needs no user. The URL may hold
    /// secrets: show it to the user alone.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The code that the user has to enter at the URL, if the login uses one.
    #[must_use]
    pub fn user_code(&self) -> Option<&str> {
        self.user_code.as_deref()
    }

    /// Sets how long [`wait`](Self::wait) waits for the user; the server itself waits forever.
    /// Default: 15 minutes.
    pub fn timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Waits until the user has logged in, and returns the account. If the user takes too long, the
    /// login is cancelled.
    ///
    /// # Errors
    /// [`Error::Rpc`] of the method `account/login/completed`, with the server's reason, if the
    /// login failed, was cancelled, or was ended by another login; [`Error::Timeout`] if the user
    /// took too long; and the same errors as [`CasClient::account`].
    pub async fn wait(mut self) -> Result<GetAccountResponse, Error> {
        let deadline = time::deadline(self.patience);
        let completed = loop {
            let Ok(event) = timeout_at(deadline, self.events.next()).await else {
                return Err(Error::timeout(COMPLETED, self.patience));
            };
            let Some(event) = event else {
                return Err(Error::Closed(self.client.closed().await));
            };
            let event = match event {
                Err(Error::Lagged { .. }) => continue,
                event => event?,
            };
            if let Some(completed) = event.get::<AccountLoginCompletedNotification>() {
                let completed = completed?;
                if completed.login_id == self.login_id {
                    break completed;
                }
            }
        };
        self.over = true;
        if !completed.success {
            let reason = completed
                .error
                .unwrap_or_else(|| "the login failed".to_owned());
            return Err(Error::Rpc {
                method: COMPLETED.to_owned(),
                source: RpcError::new(0, reason, None),
            });
        }
        // Before this notification, `account/read` returns the previous account.
        let updated = async {
            while let Some(Ok(event)) = self.events.next().await {
                if event.method() == "account/updated" {
                    break;
                }
            }
        };
        let _ = timeout(UPDATE, updated).await;
        self.client.account().await
    }

    /// `account/login/cancel`: cancels the login. Returns `false` if the login was over already.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`].
    pub async fn cancel(mut self) -> Result<bool, Error> {
        let Some(id) = self.login_id.clone() else {
            return Ok(false);
        };
        self.over = true;
        let cancelled = self
            .client
            .request(CancelLoginAccountParams::new(id))
            .urgent()
            .await?;
        Ok(cancelled.status.as_str() == "canceled")
    }
}

impl Drop for PendingLogin {
    fn drop(&mut self) {
        if let Some(id) = self.login_id.take_if(|_| !self.over) {
            let params = json!({"loginId": id}).to_string();
            let connection = self.client.connection();
            connection.send_hooked("account/login/cancel", &params, Box::new(|_| ()));
        }
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the URL nor the code is shown: both log somebody in.
        f.debug_struct("PendingLogin")
            .field("login_id", &self.login_id)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

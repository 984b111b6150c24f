//! `account/chatgptAuthTokens/refresh`.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use cas_sdk::{
    CasClient, Filter, TurnOutcome,
    handlers::{
        AuthRefresh, ChatgptTokens, HandlerError, RefreshRequest, RequestContext, UnclaimedRequest,
    },
    protocol::TurnStatus,
    testing::{CodexHomeBuilder, Reply, jwt},
};
use serde_json::{Value, json};

use crate::{
    common::{Rig, codex_test_with, within},
    start, turn,
};

pub(crate) fn config(home: CodexHomeBuilder) -> CodexHomeBuilder {
    home.chatgpt_auth()
}

pub(crate) async fn login(client: &CasClient, token: &str) {
    let mut completed = client.events(Filter::all().method("account/login/completed"));
    let params = json!({"type": "chatgptAuthTokens", "accessToken": token, "chatgptAccountId": "org-1", "chatgptPlanType": "pro"});
    client
        .call::<Value>("account/login/start", &params)
        .await
        .unwrap();
    let event = completed.next().await.unwrap().unwrap();
    assert!(
        event.json().contains(r#""success":true"#),
        "{}",
        event.json()
    );
}

/// One turn with a token that the model does not accept any more.
async fn expired(handler: impl AuthRefresh, accepted: &str) -> Option<(Rig, TurnOutcome)> {
    let rig = Rig::with(config).await?;
    rig.model.require_bearer(accepted);
    rig.model.reply(Reply::text("welcome"));
    let client = rig
        .builder()
        .handlers(cas_sdk::Handlers::new().auth_refresh(handler))
        .spawn()
        .await
        .unwrap();
    login(&client, &jwt("org-1", "pro")).await;
    let outcome = turn(&start(&client).await).await;
    client.shutdown().await;
    Some((rig, outcome))
}

fn failure(outcome: &TurnOutcome) -> &str {
    assert_eq!(outcome.status, TurnStatus::Failed);
    &outcome.failure.as_ref().expect("it says why").message
}

#[tokio::test]
async fn new_tokens_let_the_turn_go_on() {
    struct Vault(String, Arc<Mutex<Vec<RefreshRequest>>>);
    impl AuthRefresh for Vault {
        async fn refresh(
            &self,
            request: RefreshRequest,
            _cx: RequestContext,
        ) -> Result<ChatgptTokens, HandlerError> {
            self.1.lock().unwrap().push(request);
            Ok(ChatgptTokens::new(&self.0, "org-1").plan("pro"))
        }
    }
    let new = jwt("org-1", "pro");
    let asked = Arc::new(Mutex::new(Vec::new()));
    within(60, async {
        let Some((rig, outcome)) = expired(Vault(new.clone(), asked.clone()), &new).await else {
            return;
        };
        assert_eq!(outcome.text, "welcome");
        let requests = rig.model.requests();
        assert_eq!(
            (requests.len(), requests[1].bearer()),
            (2, Some(new.as_str()))
        );
        let asked = asked.lock().unwrap();
        assert_eq!((asked.len(), asked[0].reason.as_str()), (1, "unauthorized"));
        assert_eq!(asked[0].previous_account_id.as_deref(), Some("org-1"));
    })
    .await;
}

#[tokio::test]
async fn a_turn_without_new_tokens_fails_with_the_reason() {
    within(180, async {
        let failing =
            |_: RefreshRequest, _cx| async { Err(HandlerError::new("the vault is closed")) };
        let Some((_rig, outcome)) = expired(failing, "none").await else {
            return;
        };
        assert!(
            failure(&outcome).contains("code=-32000"),
            "{}",
            failure(&outcome)
        );
        let coded = |_: RefreshRequest, _cx| async { Err(HandlerError::rpc(-32077, "gone")) };
        let Some((_rig, outcome)) = expired(coded, "none").await else {
            return;
        };
        assert!(
            failure(&outcome).contains("code=-32077"),
            "{}",
            failure(&outcome)
        );
        let panicking = |_: RefreshRequest, _cx| async { panic!("boom") };
        let Some((_rig, outcome)) = expired(panicking, "none").await else {
            return;
        };
        assert!(
            failure(&outcome).contains("code=-32000"),
            "{}",
            failure(&outcome)
        );
        let stale =
            |_: RefreshRequest, _cx| async { Ok(ChatgptTokens::new(jwt("org-1", "pro"), "org-1")) };
        let Some((_rig, outcome)) = expired(stale, "none").await else {
            return;
        };
        assert!(failure(&outcome).contains("401"), "{}", failure(&outcome));
        let garbage =
            |_: RefreshRequest, _cx| async { Ok(ChatgptTokens::new("not a token", "org-1")) };
        let Some((_rig, outcome)) = expired(garbage, "none").await else {
            return;
        };
        assert!(
            failure(&outcome).contains("invalid credentials"),
            "{}",
            failure(&outcome)
        );
    })
    .await;
}

#[tokio::test]
async fn a_turn_without_a_refresh_handler_fails_at_once() {
    codex_test_with(config, 60, async |rig| {
        rig.model.require_bearer("none");
        let nonsense =
            |_: UnclaimedRequest, _cx| async { Ok(json!({"idToken": "a", "accessToken": "b"})) };
        for (builder, text) in [
            (rig.builder(), "code=-32601"),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().fallback(nonsense)),
                "invalid auth refresh response",
            ),
        ] {
            let client = builder.spawn().await.unwrap();
            login(&client, &jwt("org-1", "pro")).await;
            let outcome = turn(&start(&client).await).await;
            assert!(failure(&outcome).contains(text), "{}", failure(&outcome));
            client.shutdown().await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_threads_that_expire_at_once_refresh_once() {
    codex_test_with(config, 60, async |rig| {
        let new = jwt("org-1", "pro");
        rig.model.require_bearer(&new);
        rig.model.otherwise(Reply::text("welcome"));
        let refreshes = Arc::new(AtomicUsize::new(0));
        let (count, token) = (refreshes.clone(), new.clone());
        let (refused, both) = tokio::sync::watch::channel(false);
        let handler = move |_: RefreshRequest, _cx| {
            count.fetch_add(1, Ordering::SeqCst);
            let (token, mut both) = (token.clone(), both.clone());
            async move {
                both.wait_for(|refused| *refused).await?;
                Ok(ChatgptTokens::new(token, "org-1"))
            }
        };
        let client = rig
            .builder()
            .handlers(cas_sdk::Handlers::new().auth_refresh(handler))
            .spawn()
            .await
            .unwrap();
        login(&client, &jwt("org-1", "pro")).await;
        let (one, two) = (start(&client).await, start(&client).await);
        let mut asked = client.events(Filter::all().method("account/chatgptAuthTokens/refresh"));
        let (one, two, ()) = tokio::join!(turn(&one), turn(&two), async {
            rig.model.wait_for_requests(2).await; // Both are answered 401.
            refused.send_replace(true);
        });
        assert_eq!(
            (one.text.as_str(), two.text.as_str()),
            ("welcome", "welcome")
        );
        for _ in 0..2 {
            asked.next().await.unwrap().unwrap();
        }
        assert_eq!(refreshes.load(Ordering::SeqCst), 1);
        assert!(client.pending_requests().is_empty());
        client.shutdown().await;
    })
    .await;
}

#[test]
fn tokens_are_not_shown() {
    let tokens = ChatgptTokens::new("secret", "org-1").plan("pro");
    assert!(!format!("{tokens:?}").contains("secret"));
}

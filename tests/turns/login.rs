//! Logging in, end to end, against an issuer of the test's own.

use std::time::Duration;

use cas_sdk::{
    Builder, Error,
    protocol::{Account, ThreadStartParams},
    testing::{CodexHomeBuilder, Reply, jwt},
};
use serde_json::json;

use crate::common::{Rig, codex_test_with};

/// A codex whose issuer is the mock.
fn builder(rig: &Rig) -> Builder {
    let issuer = format!("http://{}", rig.model.address());
    rig.builder()
        .env("CODEX_APP_SERVER_LOGIN_ISSUER", &issuer)
        .env(
            "CODEX_REVOKE_TOKEN_URL_OVERRIDE",
            format!("{issuer}/oauth/revoke"),
        )
}

fn code_routes(rig: &Rig) {
    let code = json!({"device_auth_id": "dev", "user_code": "ABCD-1234", "interval": "1"});
    rig.model
        .route("POST", "/api/accounts/deviceauth/usercode", 200, code);
    rig.model
        .route("POST", "/api/accounts/deviceauth/token", 403, json!({}));
    rig.model.route("POST", "/oauth/revoke", 200, json!({}));
}

#[tokio::test]
async fn a_device_code_logs_in_and_a_turn_uses_it() {
    codex_test_with(CodexHomeBuilder::chatgpt_auth, 90, async |rig| {
        code_routes(&rig);
        let client = builder(&rig).spawn().await.unwrap();
        assert!(client.account().await.unwrap().account.is_none());
        let login = client.login().device_code().await.unwrap();
        assert_eq!(login.user_code(), Some("ABCD-1234"));
        assert!(login.url().is_some());
        let shown = format!("{login:?}");
        assert!(
            !shown.contains("ABCD") && !shown.contains("http"),
            "{shown}"
        );
        let token = jwt("org-1", "pro");
        let tokens = json!({"id_token": token, "access_token": token, "refresh_token": "r"});
        rig.model.route("POST", "/oauth/token", 200, tokens);
        let allowed =
            json!({"authorization_code": "c", "code_challenge": "x", "code_verifier": "y"});
        rig.model
            .route("POST", "/api/accounts/deviceauth/token", 200, allowed);
        let account = login.wait().await.unwrap();
        assert!(
            matches!(account.account, Some(Account::Chatgpt(_))),
            "{account:?}"
        );
        rig.model.require_bearer(&token);
        rig.model.reply(Reply::text("welcome"));
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        assert_eq!(
            thread.ask("hi").await.unwrap().finish().await.unwrap().text,
            "welcome"
        );
        client.logout().await.unwrap();
        assert!(client.account().await.unwrap().account.is_none());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_login_that_is_dropped_cancelled_or_too_slow_is_ended() {
    codex_test_with(CodexHomeBuilder::chatgpt_auth, 90, async |rig| {
        code_routes(&rig);
        let client = builder(&rig).spawn().await.unwrap();
        let completed = || client.events(cas_sdk::Filter::all().method("account/login/completed"));
        let mut ended = completed();
        drop(client.login().device_code().await.unwrap());
        assert!(
            ended
                .next()
                .await
                .unwrap()
                .unwrap()
                .json()
                .contains(r#""success":false"#)
        );
        assert!(
            client
                .login()
                .device_code()
                .await
                .unwrap()
                .cancel()
                .await
                .unwrap()
        );
        let slow = client
            .login()
            .device_code()
            .await
            .unwrap()
            .timeout(Duration::from_millis(50));
        let error = slow.wait().await.unwrap_err();
        assert!(
            matches!(&error, Error::Timeout { method, .. } if method == "account/login/completed"),
            "{error:?}"
        );
        // Another login ends the first, which says so.
        let first = client.login().device_code().await.unwrap();
        let second = client.login().device_code().await.unwrap();
        let error = first.wait().await.unwrap_err();
        assert!(
            error.to_string().contains("account/login/completed"),
            "{error}"
        );
        drop(second);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_key_and_tokens_need_nobody() {
    codex_test_with(CodexHomeBuilder::chatgpt_auth, 60, async |rig| {
        let client = builder(&rig).spawn().await.unwrap();
        let account = client
            .login()
            .api_key("sk-test")
            .await
            .unwrap()
            .wait()
            .await
            .unwrap();
        assert!(
            matches!(account.account, Some(Account::ApiKey)),
            "{account:?}"
        );
        let login = client
            .login()
            .tokens("org-1", jwt("org-1", "pro"))
            .await
            .unwrap();
        assert_eq!(login.url(), None);
        let account = login.wait().await.unwrap();
        assert!(
            matches!(account.account, Some(Account::Chatgpt(_))),
            "{account:?}"
        );
        let error = client.login().tokens("org-1", "garbage").await.unwrap_err();
        assert!(error.rpc().is_some(), "{error:?}");
        client.shutdown().await;
    })
    .await;
}

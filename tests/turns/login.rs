//! Logging in, end to end, against an issuer of the test's own.

use std::time::Duration;

use cas_sdk::{
    Builder, Error,
    protocol::{Account, ThreadStartParams},
    testing::{CodexHomeBuilder, Reply, jwt},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::common::{Rig, codex_test_with, eventually};

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

/// What a browser does with a URL of the server's own: the status and the place that it is sent on to.
async fn visit(url: &str) -> (u16, Option<String>) {
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1"))
        .await
        .unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let place = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location")
            .then(|| value.trim().to_owned())
    });
    (status, place)
}

/// A parameter of the URL that the user opens.
fn parameter(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    let found = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let found = found.unwrap_or_else(|| panic!("{name} in {url}"));
    found.replace("%3A", ":").replace("%2F", "/")
}

#[tokio::test]
async fn a_browser_logs_in_through_the_servers_callback() {
    codex_test_with(CodexHomeBuilder::chatgpt_auth, 90, async |rig| {
        code_routes(&rig);
        let token = jwt("org-1", "pro");
        let tokens = json!({"id_token": token, "access_token": token, "refresh_token": "r"});
        rig.model.route("POST", "/oauth/token", 200, tokens);
        let client = builder(&rig).spawn().await.unwrap();
        let login = client.login().chatgpt().await.unwrap();
        let url = login.url().unwrap().to_owned();
        assert!(
            url.starts_with(&format!("http://{}/", rig.model.address())),
            "{url}"
        );
        assert_eq!(login.user_code(), None);
        let callback = parameter(&url, "redirect_uri");

        // Somebody else's answer logs nobody in.
        let (status, _) = visit(&format!("{callback}?code=c&state=forged")).await;
        assert!((400..500).contains(&status), "{status}");
        assert!(client.account().await.unwrap().account.is_none());

        let state = parameter(&url, "state");
        let (status, place) = visit(&format!("{callback}?code=c&state={state}")).await;
        assert_eq!(status, 302, "{place:?}");
        let (status, _) = visit(&place.unwrap()).await;
        assert_eq!(status, 200);
        let account = login.wait().await.unwrap();
        assert!(
            matches!(account.account, Some(Account::Chatgpt(_))),
            "{account:?}"
        );

        // One that is dropped gives the port back.
        let login = client.login().chatgpt().await.unwrap();
        let callback = parameter(login.url().unwrap(), "redirect_uri");
        let port: u16 = callback.split([':', '/']).nth(4).unwrap().parse().unwrap();
        drop(login);
        let is_open = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        eventually("nobody listens", || !is_open()).await;
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

//! The real codex with both kinds of tokens.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cas_sdk::{
    CasClient, Error,
    error::{AuthRefusal, ConnectErrorKind as Kind},
    live::{Auth, Endpoint},
};
use serde_json::{Value, json};

use crate::{
    common::{Rig, codex_test, within},
    kind,
    listener::{Listener, builder, write_private},
};

const SECRET: &str = "a secret of more than thirty-two bytes";

async fn connect(rig: &Rig, listener: &Listener, auth: Option<Auth>) -> Result<CasClient, Error> {
    let mut endpoint: Endpoint = listener.address.parse().unwrap();
    if let Some(auth) = auth {
        endpoint = endpoint.auth(auth);
    }
    let result = builder(rig).connect_to(endpoint).await;
    if let Err(error) = &result {
        let told = format!("{error} {error:?}");
        assert!(!told.contains("eyJ") && !told.contains("s3cret"), "{told}");
    }
    result
}

fn refusal(result: Result<CasClient, Error>) -> AuthRefusal {
    match kind(result) {
        Kind::Unauthorized(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// An invalid token.
fn jwt(alg: &str, claims: &Value, secret: &str) -> Auth {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = part(json!({"alg": alg, "typ": "JWT"}).to_string());
    let text = format!("{header}.{}", part(claims.to_string()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, text.as_bytes()));
    Auth::token(format!("{text}.{signature}"))
}

#[tokio::test]
async fn a_capability_token_opens_the_server_and_nothing_else_does() {
    codex_test(60, async |rig| {
        let file = rig.home.path().join("token");
        write_private(&file, "s3cret-capability\n");
        let path = file.to_str().unwrap();
        let args = ["--ws-auth", "capability-token", "--ws-token-file", path];
        let listener = Listener::ws(&rig, &args).await;

        assert_eq!(
            refusal(connect(&rig, &listener, None).await),
            AuthRefusal::Missing
        );
        let wrong = connect(&rig, &listener, Some(Auth::token("s3cret-other"))).await;
        assert_eq!(refusal(wrong), AuthRefusal::WrongToken);
        for right in [Auth::token("s3cret-capability"), Auth::token_file(&file)] {
            connect(&rig, &listener, Some(right)).await.unwrap();
        }
        // Each connection reads the file.
        write_private(&file, "s3cret-changed");
        let changed = connect(&rig, &listener, Some(Auth::token_file(&file))).await;
        assert_eq!(refusal(changed), AuthRefusal::WrongToken);
        std::fs::remove_file(&file).unwrap();
        let gone = connect(&rig, &listener, Some(Auth::token_file(&file))).await;
        assert!(matches!(kind(gone), Kind::Token(_)));
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_token_is_signed_for_each_connection_and_a_wrong_one_is_refused_for_what_is_wrong_with_it()
 {
    let Some(rig) = Rig::new().await else { return };
    within(60, async {
        let file = rig.home.path().join("secret");
        write_private(&file, &format!("{SECRET}\n"));
        let path = file.to_str().unwrap();
        let listener = Listener::ws(
            &rig,
            &[
                "--ws-auth",
                "signed-bearer-token",
                "--ws-shared-secret-file",
                path,
                "--ws-issuer",
                "me",
                "--ws-audience",
                "you",
            ],
        )
        .await;
        let signed = || Auth::shared_secret(SECRET).issuer("me").audience("you");
        let from_file = Auth::shared_secret_file(&file).issuer("me").audience("you");
        for right in [signed(), from_file] {
            connect(&rig, &listener, Some(right)).await.unwrap();
        }

        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let claims = |more: Value| {
            let mut claims = json!({"iss": "me", "aud": "you", "exp": now + 60});
            claims
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            claims
        };
        let other = Auth::shared_secret(SECRET.to_uppercase())
            .issuer("me")
            .audience("you");
        for (auth, expected) in [
            (None, AuthRefusal::Missing),
            (Some(Auth::token("s3cret")), AuthRefusal::InvalidJwt),
            (Some(other), AuthRefusal::InvalidJwt),
            (
                Some(jwt("HS512", &claims(json!({})), SECRET)),
                AuthRefusal::InvalidJwt,
            ),
            (
                Some(jwt("HS256", &claims(json!({"exp": null})), SECRET)),
                AuthRefusal::InvalidJwt,
            ),
            (
                Some(jwt("HS256", &claims(json!({"exp": now - 120})), SECRET)),
                AuthRefusal::Expired,
            ),
            (
                Some(jwt("HS256", &claims(json!({"nbf": now + 120})), SECRET)),
                AuthRefusal::NotYetValid,
            ),
            (
                Some(Auth::shared_secret(SECRET).audience("you")),
                AuthRefusal::WrongIssuer,
            ),
            (Some(signed().issuer("them")), AuthRefusal::WrongIssuer),
            (
                Some(Auth::shared_secret(SECRET).issuer("me")),
                AuthRefusal::WrongAudience,
            ),
            (Some(signed().audience("them")), AuthRefusal::WrongAudience),
        ] {
            let shown = format!("{auth:?}");
            assert_eq!(
                refusal(connect(&rig, &listener, auth).await),
                expected,
                "{shown}"
            );
        }

        // The connection outlives its token, which the server's clock skew of 30 s would show only
        // later; so this is the token's own end.
        let short = signed().lifetime(Duration::from_secs(1));
        connect(&rig, &listener, Some(short)).await.unwrap();
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_token_is_not_sent_to_another_machine_in_the_clear() {
    within(20, async {
        for address in [
            "ws://192.0.2.1:9",
            "ws://codex.example.org:9",
            "ws://[2001:db8::1]:9",
        ] {
            let endpoint: Endpoint = address.parse().unwrap();
            for auth in [Auth::token("s3cret"), Auth::shared_secret(SECRET)] {
                let endpoint = endpoint.clone().auth(auth);
                let error = CasClient::builder().connect_to(endpoint).await.unwrap_err();
                assert!(error.to_string().contains("wss://"), "{error}");
                assert!(matches!(kind(Err(error)), Kind::Token(_)));
            }
        }
    })
    .await;
}

//! Servers that do not speak the protocol: each has its own error, within the deadline.

use std::time::Duration;

use cas_sdk::{
    CasClient, Error,
    error::ConnectErrorKind as Kind,
    live::{Auth, Endpoint},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{common::within, frames::Server, kind};

/// A server that reads the request and sends this answer. The connection stays open.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.ends_with('!') {
            return;
        }
        std::future::pending::<()>().await;
    });
    address
}

async fn connect(address: String) -> Result<CasClient, Error> {
    CasClient::builder()
        .handshake_timeout(Duration::from_secs(2))
        .connect_to(address)
        .await
}

#[tokio::test]
async fn a_server_that_does_not_speak_websocket_is_reported_as_that() {
    within(60, async {
        for (answer, reason) in [
            ("{\"id\":1}\n", "not HTTP"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
            ("!", "not HTTP"),
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "another protocol"),
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
                "another request",
            ),
            ("HTTP/1.1 101 Switching Protoc!", "breaks off"),
        ] {
            let error = connect(answering(answer).await).await.unwrap_err();
            assert!(error.to_string().contains(reason), "{answer}: {error}");
            assert!(matches!(kind(Err(error)), Kind::NotWebSocket(_)));
        }
        let closes = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}", closes.local_addr().unwrap());
        tokio::spawn(async move { drop(closes.accept().await) });
        let error = connect(address).await.unwrap_err();
        assert!(error.to_string().contains("without an answer"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_http_error_is_reported_with_its_status_and_its_first_line() {
    within(60, async {
        for (answer, status, text) in [
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno such",
                404,
                "HTTP 404: no such",
            ),
            (
                "HTTP/1.1 502 Bad Gateway\r\n\r\n<h1>oh\n!",
                502,
                "HTTP 502: <h1>oh",
            ),
            (
                "HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\nContent-Length: 0\r\n\r\n",
                302,
                "HTTP 302",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                200,
                "HTTP 200",
            ),
            // A body that never ends.
            ("HTTP/1.1 500 Oh\r\n\r\nhalf a bo", 500, "half a bo"),
        ] {
            let error = connect(answering(answer).await).await.unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert!(matches!(kind(Err(error)), Kind::Http { status: s, .. } if s == status));
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_that_repeats_the_token_does_not_show_it() {
    const TOKEN: &str = "s3cret-T0ken";
    let long = format!("HTTP/1.1 500 Oh\r\n\r\n{}{TOKEN}", "x".repeat(1_019));
    within(60, async {
        for answer in [
            "HTTP/1.1 401 No\r\nContent-Length: 46\r\n\r\nbad header: Authorization: Bearer s3cret-T0ken",
            "HTTP/1.1 400 No\r\n\r\nGET / Authorization: Bearer s3cret-T0ken, s3cret-T0ken\n",
            // It would be cut in the middle of the token.
            long.leak(),
        ] {
            let endpoint: Endpoint = answering(answer).await.parse().unwrap();
            let endpoint = endpoint.auth(Auth::token(TOKEN));
            let error = CasClient::builder().connect_to(endpoint).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cre"), "{shown}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_handshake_may_take_any_time_and_a_token_live_for_any_time() {
    within(60, async {
        let builder = CasClient::builder().handshake_timeout(Duration::MAX);
        let address = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        let secret = Auth::shared_secret("a secret of more than thirty-two bytes");
        let endpoint: Endpoint = address.parse().unwrap();
        let endpoint = endpoint.auth(secret.lifetime(Duration::MAX));
        let error = builder.connect_to(endpoint).await.unwrap_err();
        assert!(matches!(kind(Err(error)), Kind::Http { status: 404, .. }));
    })
    .await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    within(60, async {
        for answer in [
            "",
            "HTTP/1.1 101 Swi",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
        ] {
            let error = connect(answering(answer).await).await.unwrap_err();
            assert!(error.to_string().contains("within 2s"), "{error}");
            assert!(matches!(kind(Err(error)), Kind::Silent { .. }));
        }
        // It accepts, but does not read the request.
        let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = connect(format!("ws://{}", deaf.local_addr().unwrap())).await;
        assert!(matches!(kind(error), Kind::Silent { .. }));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _deaf = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = connect(format!("unix://{}", path.display())).await;
        assert!(matches!(kind(error), Kind::Silent { .. }));
        // It is a WebSocket server that does not answer `initialize`.
        let mut server = Server::start().await;
        let (error, _request) = tokio::join!(connect(server.address()), async {
            server.accept().await;
            server.hear().await
        });
        assert!(matches!(error, Err(Error::Handshake(_))), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn an_older_server_is_refused_unless_it_is_wanted() {
    within(60, async {
        for (version, wanted, joins) in [
            ("0.168.2", false, false),
            ("0.168.2", true, true),
            ("0.169.0", false, true),
            ("0.0.0", false, true),
        ] {
            let mut server = Server::start().await;
            let mut endpoint: Endpoint = server.address().parse().unwrap();
            if wanted {
                endpoint = endpoint.any_version();
            }
            let (joined, ()) = tokio::join!(CasClient::builder().connect_to(endpoint), async {
                server.accept().await;
                let id = server.hear().await["id"].clone();
                server
                    .say(&json!({"id": id, "result": {"userAgent": format!("x/{version} (y)")}}))
                    .await;
            });
            if joins {
                joined.unwrap();
            } else {
                let error = joined.unwrap_err();
                assert!(error.to_string().contains("0.169.0"), "{error}");
                assert!(matches!(kind(Err(error)), Kind::OldServer { .. }));
            }
        }
    })
    .await;
}

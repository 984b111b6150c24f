//! Servers on sockets: `ws://` and `wss://` are joined on every system, `unix://` where there are Unix sockets.

use std::sync::Arc;

use cas_sdk::{CasClient, live::Endpoint};
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject as _},
    },
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use crate::ends::within;

/// Answers each request with its params, until the client is gone.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        let Ok(request) = serde_json::from_slice::<Value>(&message.into_data()) else {
            break;
        };
        let Some(id) = request.get("id") else {
            continue;
        };
        let result = match request["method"].as_str() {
            Some("initialize") => json!({"userAgent": "cas/9.9.9 (fake)", "codexHome": "/home"}),
            _ => request["params"].clone(),
        };
        let answer = json!({"id": id, "result": result}).to_string();
        socket.send(Message::text(answer)).await.unwrap();
    }
}

async fn echoes(endpoint: Endpoint) {
    let client = CasClient::builder().connect_to(endpoint).await.unwrap();
    let params = json!({"text": "ä 中 🦀".repeat(50_000)});
    let answer: Value = client.call("fake/echo", &params).await.unwrap();
    assert_eq!(answer, params);
    client.shutdown().await;
}

pub fn a_server_on_ws_is_joined() {
    within(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("ws://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
        echoes(address.parse().unwrap()).await;
        server.await.unwrap();
    });
}

pub fn a_server_on_wss_is_joined() {
    within(async {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, pem).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(acceptor.accept(stream).await.unwrap()).await;
        });
        let endpoint: Endpoint = format!("wss://localhost:{port}").parse().unwrap();
        echoes(endpoint.certificate_authorities(file)).await;
        server.await.unwrap();
    });
}

#[cfg(not(unix))]
pub fn a_unix_socket_is_refused_with_what_to_do_instead() {
    use cas_sdk::{Error, error::ConnectErrorKind};

    within(async {
        for address in ["unix://", "unix://C:/codex.sock"] {
            let joined = CasClient::builder().connect_to(address).await;
            let served = CasClient::builder().serve(address).await;
            for result in [joined, served] {
                let error = match result {
                    Err(Error::Connect(error)) => error,
                    other => panic!("{address}: {:?}", other.map(drop)),
                };
                assert!(matches!(error.kind, ConnectErrorKind::Unsupported(_)));
                assert!(error.to_string().contains("ws://"), "{error}");
            }
        }
    });
}

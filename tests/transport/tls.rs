//! `wss://`: a connection requires a certificate for the name from a trusted authority.

use std::sync::Arc;

use cas_sdk::{
    CasClient, Error,
    error::ConnectErrorKind as Kind,
    live::{Auth, Endpoint},
};
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject as _},
    },
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};

use crate::{common::within, kind};

/// A server with a certificate for a name, and the file of the authority that signed it.
struct Server {
    dir: TempDir,
    port: u16,
}

impl Server {
    async fn start(name: &str) -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority_pem).unwrap();
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut token = None;
                #[expect(clippy::result_large_err, reason = "the signature is the library's")]
                let look = |request: &Request, response: Response| {
                    token = request
                        .headers()
                        .get("authorization")
                        .map(|v| v.to_str().unwrap().to_owned());
                    Ok(response)
                };
                let mut socket = accept_hdr_async(stream, look).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    let Ok(text) = message.to_text() else { break };
                    let Ok(request) = serde_json::from_str::<Value>(text) else {
                        break;
                    };
                    let result = json!({"userAgent": "x/0.0.0", "codexHome": token});
                    let answer = json!({"id": request["id"], "result": result}).to_string();
                    socket.send(Message::text(answer)).await.unwrap();
                }
            }
        });
        Self { dir, port }
    }

    fn at(&self, host: &str) -> Endpoint {
        let address = format!("wss://{host}:{}", self.port);
        let endpoint: Endpoint = address.parse().unwrap();
        endpoint.certificate_authorities(self.dir.path().join("ca.pem"))
    }
}

async fn connect(endpoint: Endpoint) -> Result<CasClient, Error> {
    CasClient::builder().connect_to(endpoint).await
}

#[tokio::test]
async fn a_server_behind_tls_is_joined_and_gets_the_token() {
    within(20, async {
        for name in ["localhost", "127.0.0.1"] {
            let server = Server::start(name).await;
            let endpoint = server.at(name).auth(Auth::token("s3cret"));
            let client = connect(endpoint).await.unwrap();
            assert_eq!(client.server().unwrap().codex_home, "Bearer s3cret");
            let large = "x".repeat(9 * 1024 * 1024);
            let answer: Value = client.call("x/y", json!({"x": large})).await.unwrap();
            assert_eq!(answer["userAgent"], "x/0.0.0");
        }
    })
    .await;
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_an_unknown_authority_is_refused() {
    within(20, async {
        let server = Server::start("codex.example.org").await;
        let error = connect(server.at("localhost")).await.unwrap_err();
        assert!(error.to_string().contains("codex.example.org"), "{error}");
        assert!(matches!(kind(Err(error)), Kind::WrongName(_)));

        let (one, other) = (
            Server::start("localhost").await,
            Server::start("localhost").await,
        );
        let foreign = one
            .at("localhost")
            .certificate_authorities(other.dir.path().join("ca.pem"));
        assert!(matches!(kind(connect(foreign).await), Kind::Tls(_)));
        let of_the_system: Endpoint = format!("wss://localhost:{}", one.port).parse().unwrap();
        assert!(matches!(kind(connect(of_the_system).await), Kind::Tls(_)));

        for (text, reason) in [
            ("", "there are none"),
            ("-----BEGIN CERTIFICATE-----\n", "cannot be read"),
        ] {
            let file = one.dir.path().join("odd.pem");
            std::fs::write(&file, text).unwrap();
            let error = connect(one.at("localhost").certificate_authorities(&file))
                .await
                .unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let missing = one.at("localhost").certificate_authorities("/no/such.pem");
        assert!(matches!(kind(connect(missing).await), Kind::Tls(_)));
    })
    .await;
}

//! Addresses without a server: each has its own error, at once.

use std::{
    fs,
    os::unix::{
        fs::symlink,
        net::{UnixDatagram, UnixListener},
    },
    time::Duration,
};

use cas_sdk::{CasClient, Error, error::ConnectErrorKind as Kind, live::Endpoint};
use tempfile::tempdir;
use tokio::net::TcpSocket;

use crate::{
    common::{Rig, codex_test, within},
    kind,
    listener::{Listener, builder},
};

async fn join(path: &std::path::Path) -> Result<CasClient, Error> {
    CasClient::builder().connect_to(Endpoint::unix(path)).await
}

#[tokio::test]
async fn the_error_says_what_is_at_the_path_of_a_socket() {
    within(20, async {
        let dir = tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert!(matches!(kind(join(&path("none")).await), Kind::NoServer));
        assert!(matches!(
            kind(join(&path("none/below")).await),
            Kind::NoServer
        ));

        fs::write(path("file"), "").unwrap();
        assert!(matches!(
            kind(join(&path("file")).await),
            Kind::NotASocket("a regular file")
        ));
        assert!(matches!(
            kind(join(&path("file/below")).await),
            Kind::NoServer
        ));
        assert!(matches!(
            kind(join(dir.path()).await),
            Kind::NotASocket("a directory")
        ));
        let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
        assert!(matches!(
            kind(join(&path("datagrams")).await),
            Kind::NotASocket("a datagram socket")
        ));

        drop(UnixListener::bind(path("stale")).unwrap());
        assert!(matches!(kind(join(&path("stale")).await), Kind::Stale));
        symlink(path("stale"), path("link")).unwrap();
        assert!(matches!(kind(join(&path("link")).await), Kind::Stale));
        symlink(path("none"), path("dangling")).unwrap();
        assert!(matches!(kind(join(&path("dangling")).await), Kind::Stale));
        symlink(path("round"), path("round")).unwrap();
        assert!(matches!(
            kind(join(&path("round")).await),
            Kind::InvalidAddress(_)
        ));
    })
    .await;
}

#[tokio::test]
async fn a_socket_of_another_user_is_not_trusted() {
    within(20, async {
        let dir = tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        if let Err(e) = std::os::unix::fs::chown(&path, Some(12_345), None) {
            // Only root can change the owner of a file; CI runs these tests as root.
            assert_eq!(e.kind(), std::io::ErrorKind::PermissionDenied);
            eprintln!("not tested without root: a socket of another user");
            return;
        }
        let error = join(&path).await.unwrap_err();
        assert!(error.to_string().contains("12345"), "{error}");
        assert!(matches!(kind(Err(error)), Kind::OtherUser { uid: 12_345 }));
    })
    .await;
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_reported_and_a_link_to_a_shorter_one_is_followed()
{
    let Some(rig) = Rig::new().await else { return };
    within(60, async {
        let dir = tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100));
        fs::create_dir(&deep).unwrap();
        // Made from within, since a socket has no path that long.
        let path = deep.join("long.sock");
        let short = dir.path().join("s");
        let _listener = UnixListener::bind(&short).unwrap();
        fs::rename(&short, &path).unwrap();
        let error = join(&path).await.unwrap_err();
        assert!(error.to_string().contains("at most 107"), "{error}");
        let expected = path.canonicalize().unwrap().as_os_str().len();
        assert!(matches!(kind(Err(error)), Kind::PathTooLong { len, .. } if len == expected));

        let long = rig.home.path().join("d".repeat(100)).join("s.sock");
        assert!(long.as_os_str().len() > 107);
        let own = rig.builder().serve(Endpoint::unix(&long)).await.unwrap();
        builder(&rig)
            .connect_to(Endpoint::unix(&long))
            .await
            .unwrap();
        own.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_reported() {
    within(20, async {
        // Nobody listens there, and nobody else can take the port meanwhile.
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = format!("ws://{}", bound.local_addr().unwrap());
        let connect = |address: String| CasClient::builder().connect_to(address);
        assert!(matches!(kind(connect(address).await), Kind::Refused));
        let unknown = kind(connect("ws://no-such-host.invalid:1".into()).await);
        assert!(matches!(unknown, Kind::UnknownHost(_)), "{unknown:?}");
    })
    .await;
}

#[tokio::test]
async fn one_kind_of_socket_is_never_taken_for_another() {
    codex_test(60, async |rig| {
        // `wss://` to a server without TLS fails, and does not fall back to `ws://`.
        let listener = Listener::ws(&rig, &[]).await;
        let tls = listener.address.replace("ws://", "wss://");
        let pem = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let file = rig.home.path().join("ca.pem");
        fs::write(&file, pem.cert.pem()).unwrap();
        let endpoint: Endpoint = tls.parse().unwrap();
        let builder = builder(&rig).handshake_timeout(Duration::from_secs(5));
        let error = kind(
            builder
                .connect_to(endpoint.certificate_authorities(file))
                .await,
        );
        assert!(
            matches!(error, Kind::Tls(_) | Kind::Silent { .. }),
            "{error:?}"
        );
        listener.end().await;
    })
    .await;
}

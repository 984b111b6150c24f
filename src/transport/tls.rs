//! TLS for `wss://`: the certificate must be for the host's name, and from a trusted authority.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::spawn_blocking,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        CertificateError, ClientConfig, Error, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::error::ConnectErrorKind as Kind;

/// The TLS configuration: which authorities are trusted, read from files.
pub(super) async fn config(authorities: Option<PathBuf>) -> Result<Arc<ClientConfig>, Kind> {
    spawn_blocking(move || {
        let roots = match &authorities {
            Some(pem) => of_file(pem)?,
            None => of_system()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| Kind::Tls(e.to_string()))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    })
    .await
    .map_err(|e| Kind::Tls(e.to_string()))?
}

fn of_system() -> Result<RootCertStore, Kind> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let text = "this system has no certificate authorities";
        return Err(Kind::Tls(text.to_owned()));
    }
    Ok(roots)
}

fn of_file(pem: &Path) -> Result<RootCertStore, Kind> {
    let wrong = |reason: &dyn fmt::Display| {
        let shown = pem.display();
        Kind::Tls(format!(
            "the certificate authorities in {shown} cannot be read: {reason}"
        ))
    };
    if !pem.metadata().map_err(|e| wrong(&e))?.is_file() {
        return Err(wrong(&"it is not a regular file"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(pem).map_err(|e| wrong(&e))? {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there are none"));
    }
    Ok(roots)
}

pub(super) async fn connect<S>(
    config: Arc<ClientConfig>,
    host: &str,
    stream: S,
) -> Result<TlsStream<S>, Kind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned())
        .map_err(|e| Kind::InvalidAddress(format!("{host} is no name that TLS knows: {e}")))?;
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|e| classify(&e))
}

fn classify(error: &io::Error) -> Kind {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(
            reason @ (CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }),
        )) => Kind::WrongName(reason.to_string()),
        Some(reason) => Kind::Tls(format!("TLS failed: {reason}")),
        None => Kind::Tls(format!("TLS failed: {error}")),
    }
}

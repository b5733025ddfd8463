//! Certificates from PEM files, reloaded while the server runs; for gRPC and for QUIC.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// A certificate and its key, for a listener. Clones share what [`TlsCertificate::reload`] reads.
#[derive(Clone)]
pub struct TlsCertificate {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<ArcSwap<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
#[error("{}: {what}", path.display())]
pub struct TlsError {
    path: PathBuf,
    what: String,
}

impl TlsCertificate {
    /// Reads a certificate chain and its key from PEM files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn from_pem(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let current = Arc::new(ArcSwap::from_pointee(read(&certificate, &key, &provider)?));
        Ok(Self { certificate, key, current, provider, clients: None })
    }

    /// Demands that clients present a certificate of one of the authorities in a PEM file, which is read once.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn with_client_ca(mut self, authorities: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = authorities.as_ref();
        let wrong = |what: String| TlsError { path: path.to_owned(), what };
        let mut roots = RootCertStore::empty();
        for authority in read_chain(path)? {
            roots.add(authority).map_err(|error| wrong(format!("an authority cannot be used: {error}")))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        let verifier =
            verifier.build().map_err(|error| wrong(format!("clients cannot be verified: {error}")))?;
        self.clients = Some(verifier);
        Ok(self)
    }

    /// Makes a configuration of TLS 1.3 alone, as [`quic::server_config`](crate::quic::config::server_config) takes it.
    pub fn tls13(&self) -> ServerConfig {
        self.config(&[&rustls::version::TLS13])
    }

    /// Reads the files again; new connections get the new certificate.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(&self.certificate, &self.key, &self.provider)?));
        Ok(())
    }

    /// Makes what agrees on keys with clients that speak one of some protocols (ALPN), the first of which is preferred.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let mut config = self.config(rustls::DEFAULT_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .expect("the provider supports TLS 1.2 and 1.3");
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
            None => builder.with_no_client_auth(),
        };
        builder.with_cert_resolver(Arc::new(Current(self.current.clone())))
    }
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let wrong = |what: String| TlsError { path: key.to_owned(), what };
    let chain = read_chain(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong(format!("no private key can be read: {error}")))?;
    let certified = CertifiedKey::from_der(chain, private, provider);
    certified.map_err(|error| wrong(format!("the key does not fit the certificate: {error}")))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |what: String| TlsError { path: path.to_owned(), what };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(format!("no certificate can be read: {error}")))?;
    if chain.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(chain)
}

struct Current(Arc<ArcSwap<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(..)")
    }
}

impl fmt::Debug for TlsCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsCertificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

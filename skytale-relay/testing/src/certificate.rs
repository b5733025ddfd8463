//! Certificates of servers and clients, and the TLS of a client that trusts one.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate for `localhost` that is its own authority, and its key.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// The key, as PEM.
    pub key_pem: String,
}

impl SelfSigned {
    /// Makes a certificate.
    pub fn generate() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        Self { certificate_pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem() }
    }

    /// Returns the certificate as a client trusts it.
    pub fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect("a certificate")
    }

    /// Returns the certificate and its key, as the one that presents them has them.
    pub fn identity(&self) -> Identity {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("a key");
        Identity { certificate: self.certificate(), key }
    }

    /// Writes certificate and key to two files.
    pub fn write(&self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) {
        std::fs::write(certificate, &self.certificate_pem).expect("written");
        std::fs::write(key, &self.key_pem).expect("written");
    }

    /// Returns the TLS 1.3 of a server that presents it.
    pub fn server(&self) -> ServerConfig {
        let Identity { certificate, key } = self.identity();
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a key that fits")
    }
}

/// A certificate and its key, to present.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// An authority that certifies clients.
pub struct Authority {
    /// Its own certificate, as PEM.
    pub certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority.
    pub fn generate() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate_pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Certifies a name.
    pub fn certify(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Identity { certificate: certificate.der().clone(), key }
    }
}

/// Returns the TLS of a client that trusts one certificate and speaks one protocol.
pub fn client(
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
    identity: Option<Identity>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_root_certificates(roots);
    let mut config = match identity {
        Some(Identity { certificate, key }) => {
            builder.with_client_auth_cert(vec![certificate], key).expect("a key that fits")
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

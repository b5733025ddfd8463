//! Which certificates of relays are trusted.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};

/// The certificates that a relay's has to be signed by.
#[derive(Clone, Debug, Default)]
pub(crate) enum Roots {
    /// The system's.
    #[default]
    System,
    /// These alone.
    Only(Vec<CertificateDer<'static>>),
}

impl Roots {
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(Self::Only(certificates)),
            _ => Err(Error::configuration("the relay's certificate is no PEM file with a CERTIFICATE in it")),
        }
    }

    /// Makes the TLS 1.3 configuration of a client, which prefers X25519MLKEM768.
    pub fn tls(&self, protocol: &[u8]) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::Only(certificates) => {
                for certificate in certificates {
                    let added = roots.add(certificate.clone());
                    added
                        .map_err(|error| Error::configuration(format!("the relay's certificate: {error}")))?;
                }
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.map_err(|error| Error::configuration(error.to_string()))?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![protocol.to_vec()];
        Ok(tls)
    }
}

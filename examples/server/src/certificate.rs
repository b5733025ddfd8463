//! The certificates that the server presents, and whose it demands.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, DnType, KeyPair};
use skytale_relay::TlsCertificate;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::ServerConfig;
use crate::kept;

/// How often certificates are checked for a change.
const RELOAD_INTERVAL: Duration = Duration::from_secs(60);

/// How this machine's own clients name it.
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The certificates of the listeners.
pub struct Certificates {
    /// Of the gRPC listener; without one it is not encrypted.
    pub grpc: Option<TlsCertificate>,
    /// Of the HTTP listener; without one it is not encrypted.
    pub http: Option<TlsCertificate>,
    /// Of the QUIC listener, which always has one.
    pub quic: TlsCertificate,
}

impl Certificates {
    /// Reads the certificate that is configured, or for QUIC the one in the data directory, which is made if there is none.
    /// They are read again every minute and on SIGHUP.
    pub fn read(config: &ServerConfig) -> Result<Self> {
        let grpc = match (&config.grpc_tls_cert, &config.grpc_tls_key) {
            (Some(certificate), Some(key)) => Some(TlsCertificate::from_pem(certificate, key)?),
            _ => None,
        };
        let http = match (&config.http_tls_cert, &config.http_tls_key) {
            (Some(certificate), Some(key)) => Some(TlsCertificate::from_pem(certificate, key)?),
            _ => None,
        };
        if let Some(certificate) = &http {
            keep_fresh(certificate)?;
        }
        let mut quic = match &grpc {
            Some(certificate) => certificate.clone(),
            None => self_signed(config)?,
        };
        keep_fresh(&quic)?;
        if let Some(authorities) = &config.quic_client_ca {
            quic = quic.with_client_ca(authorities).context("quic_client_ca")?;
        }
        Ok(Self { grpc, http, quic })
    }
}

/// Returns where the certificate is that was made for clients on this machine.
pub fn self_signed_path(config: &ServerConfig) -> PathBuf {
    config.data_dir.join("quic_cert.pem")
}

fn self_signed(config: &ServerConfig) -> Result<TlsCertificate> {
    kept::make_directory(&config.data_dir)?;
    let (certificate, key) = (self_signed_path(config), config.data_dir.join("quic_key.pem"));
    let pem = kept::secret(&key, || Ok(KeyPair::generate()?.serialize_pem()))?;
    kept::public(&certificate, || {
        let mut params = CertificateParams::new(THIS_MACHINE.map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, "skytale-server on this machine");
        Ok(params.self_signed(&KeyPair::from_pem(&pem)?)?.pem())
    })?;
    TlsCertificate::from_pem(&certificate, &key)
        .with_context(|| format!("delete {} and {} to get new ones", certificate.display(), key.display()))
}

/// Has a certificate read again every minute and on SIGHUP, which ends the process no more from here on.
fn keep_fresh(certificate: &TlsCertificate) -> Result<()> {
    let hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::spawn(reload(certificate.clone(), hangup));
    Ok(())
}

async fn reload(certificate: TlsCertificate, mut hangup: Signal) {
    loop {
        tokio::select! {
            _ = hangup.recv() => tracing::info!("reading the certificate again"),
            () = tokio::time::sleep(RELOAD_INTERVAL) => {}
        }
        if let Err(error) = certificate.reload() {
            tracing::error!(%error, "the certificate was not reloaded; the old one stays in use");
        }
    }
}

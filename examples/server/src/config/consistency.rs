//! Settings of the server that contradict each other.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use secrecy::ExposeSecret;

use super::ServerConfig;

impl ServerConfig {
    /// Refuses settings that contradict each other, or that would expose the relay unawares.
    pub fn check_consistency(&self) -> Result<()> {
        ensure!(
            self.grpc_tls_cert.is_some() == self.grpc_tls_key.is_some(),
            "grpc_tls_cert and grpc_tls_key belong together: set both, or neither"
        );
        ensure!(
            self.http_tls_cert.is_some() == self.http_tls_key.is_some(),
            "http_tls_cert and http_tls_key belong together: set both, or neither"
        );
        self.check_http_exposure()?;
        self.check_peers()?;
        self.check_exposure("grpc_listen_addr", self.grpc_listen_addr, "TLS is off")?;
        self.check_exposure("quic_listen_addr", self.quic_address(), "the certificate is self-signed")
    }

    /// Refuses relays that could not act as one.
    fn check_peers(&self) -> Result<()> {
        ensure!(
            !self.has_peers() || self.store.expose_secret().starts_with("postgres"),
            "several relays share accounts, key packages and Welcomes: set store to a postgres:// URL, or relays to \"one\""
        );
        ensure!(
            self.nats_url.is_some() || (self.nats_replicas, self.accept_relaxed_sync) == (None, None),
            "nats_replicas and accept_relaxed_sync are about NATS: set nats_url, too"
        );
        Ok(())
    }

    /// Refuses to receive API keys, or to serve metrics, in the clear beyond this machine.
    fn check_http_exposure(&self) -> Result<()> {
        let address = self.health_listen_addr;
        let is_safe = address.ip().is_loopback() || self.http_tls_cert.is_some();
        ensure!(
            is_safe || self.insecure_listen,
            "health_listen_addr {address} is not a loopback address and HTTP is not encrypted: set http_tls_cert and \
             http_tls_key, or insist with insecure_listen = true \
             (--insecure-listen), as behind a proxy that encrypts"
        );
        Ok(())
    }

    /// Refuses a listener beyond this machine that admits anybody, or that nobody can recognise.
    fn check_exposure(&self, key: &str, address: SocketAddr, without_certificate: &str) -> Result<()> {
        if address.ip().is_loopback() || self.insecure_listen {
            return Ok(());
        }
        let insist = "or insist with insecure_listen = true (--insecure-listen)";
        ensure!(
            self.grpc_tls_cert.is_some(),
            "{key} {address} is not a loopback address and {without_certificate}: set grpc_tls_cert and grpc_tls_key, {insist}"
        );
        ensure!(
            !self.allow_anonymous,
            "{key} {address} is not a loopback address and allow_anonymous is on: switch it off, {insist}"
        );
        Ok(())
    }
}

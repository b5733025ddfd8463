//! The QUIC listener.

use anyhow::{Context, Result};
use quinn::Endpoint;
use skytale_relay::TlsCertificate;
use skytale_relay::quic::{QuicLimits, server_config};

use crate::config::ServerConfig;

/// Opens the endpoint that native agents connect to.
pub fn bind(config: &ServerConfig, certificate: &TlsCertificate, limits: &QuicLimits) -> Result<Endpoint> {
    let address = config.quic_address();
    let endpoint = Endpoint::server(server_config(certificate.tls13(), limits)?, address);
    endpoint.with_context(|| format!("cannot listen on {address} (UDP): choose another quic_listen_addr"))
}

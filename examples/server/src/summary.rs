//! What the server says when it has started.

use std::io::Write;
use std::net::SocketAddr;

use skytale_store::Durability;

use crate::certificate;
use crate::config::ServerConfig;

/// Where the server listens, and what can be expected of it.
pub struct Summary {
    pub grpc: SocketAddr,
    pub quic: SocketAddr,
    pub http: SocketAddr,
    pub archive: String,
    pub durability: Durability,
}

impl Summary {
    /// Prints it; never a secret.
    pub fn print(&self, server: &ServerConfig) {
        let Self { grpc, quic, http, archive, durability } = self;
        let tls = if server.grpc_tls_cert.is_some() { "on" } else { "off" };
        let authentication = if server.allow_anonymous { "tokens, and anonymous agents" } else { "tokens" };
        let retention = match server.retention() {
            Some(kept) => format!("{} days", kept.as_secs() / 86_400),
            None => "for ever".to_owned(),
        };
        let summary = format!(
            "skytale-server {version}
  grpc listening on {grpc} (TLS {tls}; lets in: {authentication})
  quic listening on {quic} ({certificate}; lets in: {clients}{authentication})
  http listening on {http} (TLS {http_tls}; {paths})
  archive: {archive}; an archived message survives: {durability}
  kept: {retention}; replay on subscribe: {replay}
  native channels: epochs {epochs}; external commits {external_commits}
  a token for an agent: skytale-server token --data-dir {data}",
            version = env!("CARGO_PKG_VERSION"),
            certificate = certificate(server),
            http_tls = if server.http_tls_cert.is_some() { "on" } else { "off" },
            paths = if server.api {
                "/v1, /docs, /health, /ready, /metrics"
            } else {
                "/health, /ready, /metrics"
            },
            replay = server.replay_on_subscribe,
            clients = if server.quic_client_ca.is_some() { "client certificates with " } else { "" },
            epochs = server.epochs,
            external_commits = if server.external_commits { "accepted" } else { "refused" },
            data = server.data_dir.display(),
        );
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{summary}").and_then(|()| out.flush());
    }
}

/// Says which certificate clients have to trust.
fn certificate(server: &ServerConfig) -> String {
    match &server.grpc_tls_cert {
        Some(path) => format!("certificate {}", path.display()),
        None => format!("self-signed, trust {}", certificate::self_signed_path(server).display()),
    }
}

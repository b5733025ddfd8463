//! What the server says when it has started.

use std::io::Write;
use std::net::SocketAddr;

use skytale_store::Durability;

use crate::config::Config;

/// Prints where the server listens and what can be expected of it; never a secret.
pub fn print(config: &Config, grpc: SocketAddr, http: SocketAddr, archive: &str, durability: Durability) {
    let server = &config.server;
    let tls = if server.grpc_tls_cert.is_some() { "on" } else { "off" };
    let authentication = if server.anonymous() { "tokens, and anonymous agents" } else { "tokens" };
    let retention = match server.retention() {
        Some(kept) => format!("{} days", kept.as_secs() / 86_400),
        None => "for ever".to_owned(),
    };
    let replay = server.replay_on_subscribe.as_deref().unwrap_or("off");
    let summary = format!(
        "skytale-server {version}
  grpc listening on {grpc} (TLS {tls}; lets in: {authentication})
  http listening on {http} (/health, /ready, /metrics)
  archive: {archive}; an archived message survives: {durability}
  kept: {retention}; replay on subscribe: {replay}
  a token for an agent: skytale-server token --data-dir {data}",
        version = env!("CARGO_PKG_VERSION"),
        data = server.data_dir().display(),
    );
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{summary}").and_then(|()| out.flush());
}

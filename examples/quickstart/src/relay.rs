//! A relay in this process: SQLite, QUIC and gRPC on ports that are free.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use futures::StreamExt;
use skytale_core::SequenceNumber;
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::quic::{self, QuicLimits};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Relay};
use skytale_store::{KeyPackageDirectory, SqlOptions, SqlStore, Store};
use tokio::net::TcpListener;
use tower::Layer;

/// A relay that runs.
pub struct Running {
    /// Its address for QUIC.
    pub quic: String,
    /// Its address for gRPC.
    pub grpc: String,
    /// The certificate that its clients trust.
    pub certificate: String,
    store: Arc<SqlStore>,
}

/// What the relay has of a channel.
pub struct Archive {
    pub records: usize,
    pub bytes: usize,
    pub sizes: std::collections::BTreeSet<usize>,
    pub all: Vec<u8>,
}

impl Running {
    pub async fn start(directory: &Path) -> Result<Self> {
        let store = Arc::new(SqlStore::open_sqlite(directory.join("relay.db"), SqlOptions::default()).await?);
        let (log, shelves): (Arc<dyn Store>, Arc<dyn KeyPackageDirectory>) = (store.clone(), store.clone());
        let relay = Relay::new(log).with_directory(shelves);
        let drain = relay.drain();
        let service = AuthenticateLayer::new(AllowAnyone).layer(relay);

        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)?;
        let limits = QuicLimits::default();
        let endpoint = quinn::Endpoint::server(quic::server_config(tls, &limits)?, "127.0.0.1:0".parse()?)?;
        let quic = format!("quic://localhost:{}", endpoint.local_addr()?.port());
        tokio::spawn(quic::serve(endpoint, service.clone(), limits, std::future::pending()));

        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let grpc = format!("grpc://{}", tcp.local_addr()?);
        let server = Server::new(service, drain);
        tokio::spawn(async move { server.serve(Listener::new(tcp), std::future::pending()).await });
        Ok(Self { quic, grpc, certificate: certified.cert.pem(), store })
    }

    /// Reads everything that was archived of a channel.
    pub async fn archive(&self, channel: &str) -> Result<Archive> {
        let channel = skytale_core::ChannelName::parse(channel)?;
        let mut records = self.store.read(&channel, SequenceNumber::START);
        let mut archive = Archive { records: 0, bytes: 0, sizes: Default::default(), all: Vec::new() };
        while let Some(record) = records.next().await {
            let record = record?;
            archive.records += 1;
            archive.bytes += record.body.len();
            archive.sizes.insert(record.body.len());
            archive.all.extend_from_slice(&record.body);
        }
        Ok(archive)
    }
}

//! QUIC: one stream, whose first frame presents the token.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use skytale_bench::native;
use skytale_core::frame;

use super::outgoing::Outgoing;
use super::{Connection, LONGEST, PATIENCE};
use crate::args::Node;
use crate::message::Dialect;

const ALPN: &[u8] = b"skytale/1";

/// The name that the relay's certificate is of.
const HOST: &str = "localhost";

/// How many frames are written at once, and the most bytes that are read at once.
const WRITE_TOGETHER: usize = 64;
const READ_AT_ONCE: usize = 64 * 1024;

/// How long to wait before another try, where the relay lets no more connections in for now.
const REFUSED: Duration = Duration::from_millis(20);

pub async fn open(node: &Node) -> anyhow::Result<Connection> {
    let (endpoint, connection) = connect(node).await?;
    let (sender, receiver) = connection.open_bi().await?;
    let (outgoing, frames) = Outgoing::new();
    tokio::spawn(write_all(sender, frames));
    let incoming = Reader { receiver, buffer: BytesMut::new(), _endpoint: endpoint }.into_frames().boxed();
    let mut connection = Connection { dialect: Dialect::Native, outgoing, incoming };
    connection.ask(native::authenticate(node.token.as_deref()), native::FIRST).await?;
    Ok(connection)
}

async fn connect(node: &Node) -> anyhow::Result<(Endpoint, quinn::Connection)> {
    let config = config(node)?;
    let address = tokio::net::lookup_host(&node.endpoint).await?.next().context("the node has no address")?;
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let endpoint = Endpoint::client(any)?;
    let since = Instant::now();
    loop {
        match endpoint.connect_with(config.clone(), address, HOST)?.await {
            Ok(connection) => return Ok((endpoint, connection)),
            Err(ConnectionError::ConnectionClosed(_)) if since.elapsed() < PATIENCE => {
                tokio::time::sleep(REFUSED).await;
            }
            Err(error) => return Err(error).with_context(|| format!("connecting to {}", node.endpoint)),
        }
    }
}

fn config(node: &Node) -> anyhow::Result<ClientConfig> {
    let Some(file) = &node.certificate else { bail!("QUIC needs --certificate, the relay's") };
    let mut roots = RootCertStore::empty();
    let pem = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)))
}

async fn write_all(mut sender: SendStream, frames: Outgoing) {
    let mut chunks = frames.ready_chunks(WRITE_TOGETHER);
    while let Some(chunk) = chunks.next().await {
        let length = chunk.iter().map(|frame| frame.len() + frame::PREFIX).sum();
        let mut bytes = BytesMut::with_capacity(length);
        for frame in chunk {
            frame::put_prefix(frame.len(), &mut bytes);
            bytes.extend_from_slice(&frame);
        }
        if sender.write_chunk(bytes.freeze()).await.is_err() {
            return;
        }
    }
    let _ = sender.finish();
}

struct Reader {
    receiver: RecvStream,
    buffer: BytesMut,
    /// The socket lives as long as the connection.
    _endpoint: Endpoint,
}

impl Reader {
    async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(frame) = frame::take(&mut self.buffer, LONGEST)? {
                return Ok(Some(frame));
            }
            match self.receiver.read_chunk(READ_AT_ONCE, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None => return Ok(None),
            }
        }
    }

    fn into_frames(self) -> impl futures::Stream<Item = anyhow::Result<Bytes>> {
        stream::try_unfold(
            self,
            |mut reader| async move { Ok(reader.next().await?.map(|frame| (frame, reader))) },
        )
    }
}

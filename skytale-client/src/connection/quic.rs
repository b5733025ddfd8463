//! QUIC: a stream for each channel, on one connection to the relay as long as that has free ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, stream};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use skytale_core::extension::{Authenticate, Content, Extension};
use skytale_core::{Dialect, Envelope, FrameLimits, frame};
use tokio::sync::{Mutex, mpsc};

use super::trust_roots::Roots;
use super::{Link, Liveness, OUTGOING, unreachable};
use crate::error::{Error, Result};

/// The protocol that agent and relay agree on in the TLS handshake.
const ALPN: &[u8] = b"skytale/1";

pub(super) const PATIENT: Liveness =
    Liveness { keep_alive: Duration::from_secs(4), idle: Duration::from_secs(12) };

/// How long a connection may take to come about, and the answer to a stream's first frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest frame that is read, in bytes.
const FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The most bytes that are taken from a stream at once.
const READ_AT_ONCE: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Dialer {
    host: String,
    port: u16,
    config: ClientConfig,
    connections: Mutex<Vec<(Endpoint, Connection)>>,
}

impl Dialer {
    pub fn new(host: &str, port: u16, roots: &Roots, liveness: Liveness) -> Result<Self> {
        let tls = roots.tls(ALPN)?;
        let tls = QuicClientConfig::try_from(tls).map_err(|error| Error::configuration(error.to_string()))?;
        let mut config = ClientConfig::new(Arc::new(tls));
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(liveness.idle.try_into().expect("some seconds are a valid idle time")))
            .keep_alive_interval(Some(liveness.keep_alive));
        config.transport_config(Arc::new(transport));
        // An IPv6 address comes in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, config, connections: Mutex::default() })
    }

    pub async fn open(&self, token: Option<&str>) -> Result<Link> {
        let (mut sender, receiver) = self.stream().await?;
        let mut reader = Reader { receiver, buffer: BytesMut::new(), relay: self.address() };
        let authenticate = Authenticate { token: token.unwrap_or_default().to_owned() };
        let first = Extension::new(Content::Authenticate(authenticate)).with_request(u64::MAX).into_frame();
        write(&mut sender, &[first]).await.map_err(|error| self.unreachable(error))?;
        match tokio::time::timeout(PATIENCE, reader.admitted()).await {
            Ok(admitted) => admitted?,
            Err(_) => return Err(self.unreachable("it did not answer in time")),
        }
        let (outgoing, waiting) = mpsc::channel(OUTGOING);
        tokio::spawn(write_all(sender, waiting));
        Ok(Link { incoming: reader.into_frames().fuse().boxed(), outgoing, place: 0 })
    }

    /// Opens a stream of a connection that has a free one, or of another connection.
    async fn stream(&self) -> Result<(SendStream, RecvStream)> {
        let mut known = self.connections.lock().await;
        known.retain(|(_, connection)| connection.close_reason().is_none());
        if let Some(stream) = known.iter().find_map(|(_, connection)| free_stream(connection)) {
            return Ok(stream);
        }
        let (endpoint, connection) = match tokio::time::timeout(PATIENCE, self.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(self.unreachable("it did not answer in time")),
        };
        let stream = free_stream(&connection);
        let stream = stream.ok_or_else(|| self.unreachable("a new connection has no free stream"))?;
        known.push((endpoint, connection));
        Ok(stream)
    }

    async fn connect(&self) -> Result<(Endpoint, Connection)> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut failure = self.unreachable("its name has no address");
        for address in found.map_err(|error| self.unreachable(error))? {
            match self.connect_to(address).await {
                Ok(connected) => return Ok(connected),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<(Endpoint, Connection)> {
        let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
        let endpoint = Endpoint::client(any).map_err(|error| self.unreachable(error))?;
        let connecting = endpoint.connect_with(self.config.clone(), address, &self.host);
        let connection = connecting.map_err(|error| self.unreachable(error))?.await;
        Ok((endpoint, connection.map_err(|error| self.unreachable(error))?))
    }

    fn address(&self) -> String {
        format!("quic://{}:{}", self.host, self.port)
    }

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        unreachable(&self.address(), source)
    }
}

/// Opens a stream if that takes no waiting.
fn free_stream(connection: &Connection) -> Option<(SendStream, RecvStream)> {
    connection.open_bi().now_or_never()?.ok()
}

async fn write_all(mut sender: SendStream, mut waiting: mpsc::Receiver<Vec<Bytes>>) {
    let mut bundles = Vec::new();
    while waiting.recv_many(&mut bundles, OUTGOING).await > 0 {
        let frames = bundles.concat();
        bundles.clear();
        if write(&mut sender, &frames).await.is_err() {
            return;
        }
    }
    let _ = sender.finish();
}

async fn write(sender: &mut SendStream, frames: &[Bytes]) -> Result<(), quinn::WriteError> {
    let length = frames.iter().map(|bytes| bytes.len() + frame::PREFIX).sum();
    let mut bytes = BytesMut::with_capacity(length);
    for frame in frames {
        frame::put_prefix(frame.len(), &mut bytes);
        bytes.extend_from_slice(frame);
    }
    sender.write_chunk(bytes.freeze()).await
}

struct Reader {
    receiver: RecvStream,
    buffer: BytesMut,
    relay: String,
}

impl Reader {
    /// Waits for the answer to the first frame.
    async fn admitted(&mut self) -> Result<()> {
        let Some(frame) = self.next().await? else {
            return Err(unreachable(&self.relay, "it ended the stream"));
        };
        let limits = FrameLimits::default();
        let envelope = Envelope::parse(frame, Dialect::Slim3, &limits)
            .map_err(|error| unreachable(&self.relay, error))?;
        let extension = envelope.extension().map(Extension::read).transpose();
        match extension.ok().flatten().and_then(|extension| extension.content) {
            Some(Content::Accepted(_)) => Ok(()),
            Some(Content::Refused(refused)) => Err(Error::refused(refused)),
            _ => Err(unreachable(&self.relay, "it is no Skytale relay")),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let taken = frame::take(&mut self.buffer, FRAME_BYTES);
            if let Some(frame) = taken.map_err(|error| unreachable(&self.relay, error))? {
                return Ok(Some(frame));
            }
            let chunk = self.receiver.read_chunk(READ_AT_ONCE, true).await;
            match chunk.map_err(|error| unreachable(&self.relay, error))? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None => return Ok(None),
            }
        }
    }

    fn into_frames(self) -> impl futures::Stream<Item = Result<Bytes>> {
        stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(frame)) => Some((Ok(frame), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use quinn::ServerConfig;
    use quinn::crypto::rustls::QuicServerConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    /// Starts a server whose connections have no streams, and returns it with its certificate.
    fn without_streams() -> (Endpoint, CertificateDer<'static>) {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = certified.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a key that fits");
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let tls = QuicServerConfig::try_from(tls).expect("fit for QUIC");
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(0_u8.into());
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).expect("bind");
        (endpoint, certificate)
    }

    #[tokio::test]
    async fn a_relay_without_streams_is_not_waited_for() {
        let (server, certificate) = without_streams();
        let port = server.local_addr().expect("an address").port();
        let serving = tokio::spawn(async move { server.accept().await.expect("one").await });
        let roots = Roots::Only(vec![certificate]);
        let dialer = Dialer::new("127.0.0.1", port, &roots, PATIENT).expect("a dialer");
        let error = dialer.open(None).await.expect_err("there is no stream");
        assert!(error.to_string().contains("no free stream"), "{error}");
        let _served = serving.await.expect("runs").expect("connected");
    }
}

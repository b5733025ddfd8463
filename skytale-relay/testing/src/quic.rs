//! A native agent's stream on a QUIC connection.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::ClientConfig;
use skytale_core::extension::{Authenticate, Content, Extension};
use skytale_core::{Envelope, FrameLimits, frame};

use crate::SOON;

/// The longest frame that a stream reads, in bytes.
const FRAME: usize = 1 << 23;

/// One stream of a QUIC connection.
pub struct QuicStream {
    sender: SendStream,
    receiver: RecvStream,
    buffer: BytesMut,
}

/// Connects to a relay under a name.
///
/// # Errors
///
/// Where the handshake fails.
pub async fn connect(
    address: SocketAddr,
    name: &str,
    tls: ClientConfig,
) -> Result<Connection, ConnectionError> {
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("fit for QUIC")));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("bind");
    endpoint.connect_with(config, address, name).expect("a name").await
}

impl QuicStream {
    /// Opens a stream.
    pub async fn open(connection: &Connection) -> Self {
        let (sender, receiver) = connection.open_bi().await.expect("a stream");
        Self { sender, receiver, buffer: BytesMut::new() }
    }

    /// Opens a stream and presents a token that the relay takes.
    pub async fn admitted(connection: &Connection, token: &str) -> Self {
        let mut stream = Self::open(connection).await;
        let answer = stream.authenticate(token).await;
        assert!(matches!(answer, Content::Accepted(_)), "{answer:?}");
        stream
    }

    /// Presents a token and returns the answer.
    pub async fn authenticate(&mut self, token: &str) -> Content {
        let content = Content::Authenticate(Authenticate { token: token.to_owned() });
        self.ask(Extension::new(content).with_request(1).into_frame()).await
    }

    /// Sends a request and returns the content of the next frame.
    pub async fn ask(&mut self, frame: Bytes) -> Content {
        self.send(frame).await;
        self.content().await
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Bytes) {
        let mut bytes = BytesMut::new();
        frame::put_prefix(frame.len(), &mut bytes);
        bytes.extend_from_slice(&frame);
        self.write(bytes.freeze()).await;
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: Bytes) {
        self.sender.write_chunk(bytes).await.expect("the stream is open");
    }

    /// Returns the content of the next frame, which must have one.
    pub async fn content(&mut self) -> Content {
        self.next().await.1.content.expect("an answer")
    }

    /// Returns the next frame.
    pub async fn next(&mut self) -> (Envelope, Extension) {
        let frame = tokio::time::timeout(SOON, self.frame()).await.expect("in time");
        let envelope = Envelope::parse_first(frame, &FrameLimits::default()).expect("parses");
        let extension = Extension::read(envelope.extension().expect("extended")).expect("reads");
        (envelope, extension)
    }

    async fn frame(&mut self) -> Bytes {
        loop {
            if let Some(frame) = frame::take(&mut self.buffer, FRAME).expect("within the limit") {
                return frame;
            }
            let chunk = self.receiver.read_chunk(65_536, true).await.expect("readable");
            self.buffer.extend_from_slice(&chunk.expect("not ended").bytes);
        }
    }
}

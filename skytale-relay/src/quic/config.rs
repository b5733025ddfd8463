//! Configuration of a QUIC endpoint for a relay.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ServerConfig, TransportConfig, VarInt};
use thiserror::Error;

/// The protocol that agent and relay agree on in the TLS handshake.
pub const ALPN: &[u8] = b"skytale/1";

/// What the QUIC edge allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuicLimits {
    /// The most connections at once. Default: 16,384.
    pub connections: usize,
    /// The most connections at once none of whose streams has presented a token yet. Default: 1,024.
    pub unauthenticated: usize,
    /// The most connections that are let in in a second; beyond, they are refused. Default: 500.
    pub handshakes: u32,
    /// The connections beyond which a new peer has to show that its address is its own. Default: 1,024.
    pub unvalidated_connections: usize,
    /// The most streams of one connection at once. Default: 256.
    pub streams_per_connection: u32,
    /// The longest frame that is read, in bytes. Default: 4 MiB less 1 KiB, as on gRPC.
    pub frame_bytes: usize,
    /// How long a stream may take to present its token, and a connection to have one that did. Default: 10 s.
    pub first_frame: Duration,
    /// How long streams may take to end once the edge shuts down. Default: 5 s.
    pub grace: Duration,
}

impl Default for QuicLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            unauthenticated: 1_024,
            handshakes: 500,
            unvalidated_connections: 1_024,
            streams_per_connection: 256,
            frame_bytes: skytale_core::FrameLimits::default().frame_bytes,
            first_frame: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}

/// Why a TLS configuration cannot be used for QUIC.
#[derive(Debug, Error)]
#[error("QUIC needs TLS 1.3 with an initial cipher suite: {0}")]
pub struct QuicConfigError(#[from] quinn::crypto::rustls::NoInitialCipherSuite);

/// How long a connection may be silent, and how often it is kept alive.
const IDLE: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What may be on its way to the relay unread: of one stream, and of one connection, in bytes.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Makes the endpoint's configuration from the host's TLS 1.3 configuration; sets [`ALPN`] and the transport's limits.
///
/// The post-quantum key exchange X25519MLKEM768 is preferred where the host's provider has it (aws-lc-rs does).
///
/// # Errors
///
/// [`QuicConfigError`] where the configuration lacks what QUIC needs.
pub fn server_config(
    mut tls: rustls::ServerConfig,
    limits: &QuicLimits,
) -> Result<ServerConfig, QuicConfigError> {
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Frames change state, and early data can be replayed.
    tls.max_early_data_size = 0;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.streams_per_connection.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IDLE.try_into().expect("30 s is a valid idle time")))
        .keep_alive_interval(Some(KEEP_ALIVE));
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport)).max_incoming(limits.unvalidated_connections);
    Ok(config)
}

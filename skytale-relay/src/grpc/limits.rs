//! The limits of one listener.

use std::time::Duration;

/// What one listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// The most connections at once. Default: 65,536.
    pub connections: usize,
    /// The most connections at once that have not opened an authenticated stream. Default: 1,024.
    pub unauthenticated: usize,
    /// The most TLS handshakes that begin in a second; beyond, connections wait to be accepted. Default: 500.
    pub handshakes: u32,
    /// How long a connection may go without an authenticated stream. Default: 10 s.
    pub authentication_time: Duration,
    /// The most streams at once on one connection. Default: 128.
    pub streams: u32,
    /// The most streams of one connection that the peer may reset before they are accepted. Default: 20.
    pub pending_resets: usize,
    /// The most streams of one connection that may be reset for the peer's errors. Default: 256.
    pub error_resets: usize,
    /// The most bytes of a request's headers. Default: 16 KiB.
    pub header_bytes: u32,
    /// How often an idle connection is probed. Default: 60 s.
    pub keepalive: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            unauthenticated: 1_024,
            handshakes: 500,
            authentication_time: Duration::from_secs(10),
            streams: 128,
            pending_resets: 20,
            error_resets: 256,
            header_bytes: 16 * 1024,
            keepalive: Duration::from_secs(60),
        }
    }
}

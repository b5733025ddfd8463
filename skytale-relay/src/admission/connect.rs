//! The request for a session, before and after authentication.

use std::net::SocketAddr;

use thiserror::Error;

use super::authenticator::AuthError;
use super::renewal::Renewal;

/// A peer that wants a session; `P` is its [`Credentials`](super::credentials::Credentials) before authentication and its principal after.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connect<P> {
    /// Who asks.
    pub peer: P,
    /// By which transport.
    pub transport: Transport,
    /// From where, if the transport knows.
    pub remote: Option<SocketAddr>,
    /// How the peer's next credentials are verified while its session goes on.
    pub renewal: Option<Renewal>,
}

impl<P> Connect<P> {
    /// Makes a request for a session.
    pub fn new(peer: P, transport: Transport, remote: Option<SocketAddr>) -> Self {
        Self { peer, transport, remote, renewal: None }
    }

    /// Replaces the peer.
    pub fn map<Q>(self, map: impl FnOnce(P) -> Q) -> Connect<Q> {
        let Self { peer, transport, remote, renewal } = self;
        Connect { peer: map(peer), transport, remote, renewal }
    }
}

/// How a peer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// gRPC over HTTP/2.
    Grpc,
    /// A stream of a QUIC connection.
    Quic,
}

/// Why a session was not admitted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The credentials were not accepted.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A limit is reached.
    #[error("too many {what}: {allowed} are allowed; close one, or try again later")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How many are allowed.
        allowed: usize,
    },
    /// The relay is shutting down.
    #[error("the relay is draining; try again in a moment")]
    Draining,
}

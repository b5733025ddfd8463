//! The asking before a session.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use skytale_core::Principal;
use thiserror::Error;
use zeroize::Zeroizing;

use super::AuthError;

/// A peer that wants a session; `P` is its [`Credentials`] before authentication and its principal after.
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

/// Verifies further credentials of a session, so that it outlives those it began with.
#[derive(Clone)]
pub struct Renewal(
    Arc<dyn Fn(Credentials) -> BoxFuture<'static, Result<Principal, AuthError>> + Send + Sync>,
);

impl Renewal {
    /// Makes a renewal from what verifies credentials.
    pub fn new<F>(verify: impl Fn(Credentials) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Principal, AuthError>> + Send + 'static,
    {
        Self(Arc::new(move |credentials| Box::pin(verify(credentials))))
    }

    pub(crate) async fn verify(&self, credentials: Credentials) -> Result<Principal, AuthError> {
        (self.0)(credentials).await
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal(..)")
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

/// What a peer presents.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// The bearer token, if there is one.
    pub bearer: Option<Token>,
}

impl Credentials {
    /// Presents nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Presents a bearer token.
    pub fn bearer(token: impl Into<Token>) -> Self {
        Self { bearer: Some(token.into()) }
    }
}

/// A token that never shows in logs.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Returns the token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(Zeroizing::new(token))
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        token.to_owned().into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
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

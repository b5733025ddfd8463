//! Streams to a relay, by the scheme of its address.

mod failover;
mod grpc;
#[cfg(feature = "local")]
pub(crate) mod local;
mod quic;
pub(crate) mod reconnect;
pub(crate) mod trust_roots;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use url::Url;

use crate::error::{Error, Result};
#[cfg(feature = "local")]
pub use local::LocalRelay;
pub(crate) use trust_roots::Roots;

/// The ports of relays that say nothing else.
const QUIC_PORT: u16 = 4433;
const GRPC_PORT: u16 = 5000;
const GRPCS_PORT: u16 = 443;

/// An open stream: a session at the relay.
pub(crate) struct Link {
    pub incoming: BoxStream<'static, Result<Bytes>>,
    pub outgoing: mpsc::Sender<Vec<Bytes>>,
    /// Which one it is of several relays.
    pub place: usize,
}

/// How many bundles of frames wait to be written.
const OUTGOING: usize = 64;

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)")
    }
}

/// How soon it is noticed that a relay does not answer any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    /// How often a silent connection is tried.
    keep_alive: Duration,
    /// How long it may be silent.
    idle: Duration,
}

/// Of one of several relays; one that has no substitute is given more time.
const WATCHFUL: Liveness = Liveness { keep_alive: Duration::from_secs(1), idle: Duration::from_secs(3) };

/// Opens streams to one relay, or to one of several. Clones share its connection.
#[derive(Clone, Debug)]
pub(crate) enum Dialer {
    Grpc(Arc<grpc::Dialer>),
    Quic(Arc<quic::Dialer>),
    Several(Arc<failover::Dialer>),
    #[cfg(feature = "local")]
    Local(LocalRelay),
}

impl Dialer {
    /// Makes a dialer for the addresses of one relay, or of several that act as one.
    pub fn new(addresses: &[String], roots: &Roots) -> Result<Self> {
        match addresses {
            [address] => Self::to(address, roots, None),
            _ => Ok(Self::Several(Arc::new(failover::Dialer::new(addresses, roots)?))),
        }
    }

    /// Makes a dialer for an address: `quic://`, `grpc://` or `grpcs://`.
    fn to(address: &str, roots: &Roots, watchful: Option<Liveness>) -> Result<Self> {
        let expected = || {
            let what = format!(
                "{address:?} is no relay's address: write quic://host[:{QUIC_PORT}], grpcs://host[:{GRPCS_PORT}], or \
                 grpc://host[:{GRPC_PORT}] (not encrypted on the way, for this machine alone)"
            );
            Error::configuration(what)
        };
        let url = Url::parse(address).map_err(|_| expected())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(expected)?;
        let port = |default| url.port().unwrap_or(default);
        match url.scheme() {
            "quic" => Ok(Self::Quic(Arc::new(quic::Dialer::new(
                host,
                port(QUIC_PORT),
                roots,
                watchful.unwrap_or(quic::PATIENT),
            )?))),
            "grpc" => {
                let liveness = watchful.unwrap_or(grpc::PATIENT);
                Ok(Self::Grpc(Arc::new(grpc::Dialer::plain(host, port(GRPC_PORT), liveness)?)))
            }
            "grpcs" => {
                let liveness = watchful.unwrap_or(grpc::PATIENT);
                Ok(Self::Grpc(Arc::new(grpc::Dialer::encrypted(host, port(GRPCS_PORT), roots, liveness)?)))
            }
            _ => Err(expected()),
        }
    }

    /// Leaves a relay that has ended a stream for another one; returns whether there is one.
    pub fn turn_away(&self, place: usize) -> bool {
        let Self::Several(dialer) = self else { return false };
        dialer.turn_away(place);
        true
    }

    /// Opens a stream and presents a token.
    pub async fn open(&self, token: Option<&str>) -> Result<Link> {
        match self {
            Self::Grpc(dialer) => dialer.open(token).await,
            Self::Quic(dialer) => dialer.open(token).await,
            Self::Several(dialer) => dialer.open(token).await,
            #[cfg(feature = "local")]
            Self::Local(relay) => relay.open().await,
        }
    }
}

fn unreachable(relay: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unreachable { relay: relay.to_owned(), source: source.into() }
}

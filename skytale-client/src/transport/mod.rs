//! Streams to a relay, by the scheme of its address.

mod grpc;
#[cfg(feature = "local")]
mod local;
mod quic;
mod roots;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use url::Url;

use crate::error::{Error, Result};
#[cfg(feature = "local")]
pub use local::LocalRelay;
pub(crate) use roots::Roots;

/// The ports of relays that say nothing else.
const QUIC_PORT: u16 = 4433;
const GRPC_PORT: u16 = 5000;
const GRPCS_PORT: u16 = 443;

/// An open stream: a session at the relay.
pub(crate) struct Link {
    pub incoming: BoxStream<'static, Result<Bytes>>,
    pub outgoing: mpsc::Sender<Vec<Bytes>>,
}

/// How many bundles of frames wait to be written.
const OUTGOING: usize = 64;

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)")
    }
}

/// Opens streams to one relay. Clones share its connection.
#[derive(Clone, Debug)]
pub(crate) enum Dialer {
    Grpc(grpc::Dialer),
    Quic(Arc<quic::Dialer>),
    #[cfg(feature = "local")]
    Local(LocalRelay),
}

impl Dialer {
    /// Makes a dialer for an address: `quic://`, `grpc://` or `grpcs://`.
    pub fn new(address: &str, roots: &Roots) -> Result<Self> {
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
            "quic" => Ok(Self::Quic(Arc::new(quic::Dialer::new(host, port(QUIC_PORT), roots)?))),
            "grpc" => Ok(Self::Grpc(grpc::Dialer::plain(host, port(GRPC_PORT))?)),
            "grpcs" => Ok(Self::Grpc(grpc::Dialer::encrypted(host, port(GRPCS_PORT), roots)?)),
            _ => Err(expected()),
        }
    }

    /// Opens a stream and presents a token.
    pub async fn open(&self, token: Option<&str>) -> Result<Link> {
        match self {
            Self::Grpc(dialer) => dialer.open(token).await,
            Self::Quic(dialer) => dialer.open(token).await,
            #[cfg(feature = "local")]
            Self::Local(relay) => relay.open().await,
        }
    }
}

fn unreachable(relay: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unreachable { relay: relay.to_owned(), source: source.into() }
}

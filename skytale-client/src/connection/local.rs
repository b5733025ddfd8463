//! A relay inside the process, for tests of agents: the same sessions, without a socket.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use skytale_core::{Permissions, Principal};
use skytale_relay::{Connect, Relay, Transport};
use skytale_store::{KeyPackageDirectory, MemoryStore, Store};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt;

use super::{Link, OUTGOING, unreachable};
use crate::error::Result;

/// A relay in memory. Clones are the same relay; it is gone with the last of them.
#[derive(Clone, Debug)]
pub struct LocalRelay {
    relay: Relay,
    store: Arc<MemoryStore>,
}

impl LocalRelay {
    /// Starts a relay that lets every agent of the process do everything.
    pub fn start() -> Self {
        Self::with(|relay| relay)
    }

    /// Starts a relay that is configured first, in its limits, say.
    pub(crate) fn with(configure: impl FnOnce(Relay) -> Relay) -> Self {
        let store = Arc::new(MemoryStore::new());
        let (log, directory): (Arc<dyn Store>, Arc<dyn KeyPackageDirectory>) = (store.clone(), store.clone());
        Self { relay: configure(Relay::new(log).with_directory(directory)), store }
    }

    /// Returns the archive: what the relay has seen.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    pub(super) async fn open(&self) -> Result<Link> {
        let principal = Principal::new("local", Permissions::All);
        let connect = Connect::new(principal, Transport::Quic, None);
        let session = self.relay.clone().oneshot(connect).await;
        let session = session.map_err(|error| unreachable("the local relay", error))?;
        let outbound = session.outbound();
        let (outgoing, waiting) = mpsc::channel(OUTGOING);
        let frames = ReceiverStream::new(waiting).flat_map(|bundle: Vec<Bytes>| stream::iter(bundle)).map(Ok);
        tokio::spawn(session.run(frames));
        let incoming = outbound.map(|frame| match frame {
            Ok(frame) => Ok(frame.to_bytes()),
            Err(close) => Err(unreachable("the local relay", close.to_string())),
        });
        Ok(Link { incoming: incoming.fuse().boxed(), outgoing, place: 0 })
    }
}

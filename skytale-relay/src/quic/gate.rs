//! The gate of the QUIC edge: which connections are admitted, and how long they may go without authentication.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::DefaultDirectRateLimiter;
use quinn::{Endpoint, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::QuicLimits;
use crate::limits::handshakes::handshakes;

/// Admits connections while there is room.
pub(super) struct ConnectionGate {
    unauthenticated: Arc<Semaphore>,
    handshakes: DefaultDirectRateLimiter,
    limits: Arc<QuicLimits>,
}

impl ConnectionGate {
    /// Makes a gate of an endpoint's limits.
    pub fn new(limits: Arc<QuicLimits>) -> Self {
        Self {
            unauthenticated: Arc::new(Semaphore::new(limits.unauthenticated)),
            handshakes: handshakes(limits.handshakes),
            limits,
        }
    }

    /// Under load a peer first has to show that its address is its own, and beyond the limits none is let in.
    pub fn admit(
        &self,
        endpoint: &Endpoint,
        incoming: Incoming,
    ) -> Option<(Incoming, UnauthenticatedConnection)> {
        let open = endpoint.open_connections();
        if open < self.limits.connections {
            if open >= self.limits.unvalidated_connections && !incoming.remote_address_validated() {
                let _ = incoming.retry();
                return None;
            }
            if let Ok(permit) = self.unauthenticated.clone().try_acquire_owned()
                && self.handshakes.check().is_ok()
            {
                let peer = UnauthenticatedConnection::new(incoming.remote_address(), permit);
                return Some((incoming, peer));
            }
        }
        incoming.refuse();
        None
    }
}

/// A connection, which counts as unauthenticated until one of its streams has a session.
pub(super) struct UnauthenticatedConnection {
    pub remote: SocketAddr,
    unauthenticated: Mutex<Option<OwnedSemaphorePermit>>,
}

impl UnauthenticatedConnection {
    pub fn new(remote: SocketAddr, permit: OwnedSemaphorePermit) -> Self {
        Self { remote, unauthenticated: Mutex::new(Some(permit)) }
    }

    /// Marks the connection as one that has a session.
    pub fn authenticated(&self) {
        self.permit().take();
    }

    /// Waits until the connection has had no session for too long.
    pub async fn is_late(&self, allowed: Duration) {
        tokio::time::sleep(allowed).await;
        if self.permit().is_none() {
            std::future::pending::<()>().await;
        }
    }

    fn permit(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

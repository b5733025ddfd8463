//! A peer that has connected, and has yet to show who it is.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

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

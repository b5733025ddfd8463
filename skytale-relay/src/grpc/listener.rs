//! The listener of the gRPC edge.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::gate::{Connection, ConnectionGate};
use super::limits::ConnectionLimits;
use crate::limits::handshakes::handshakes;
use crate::tls::TlsCertificate;

/// Accepts TCP, and TLS where it has a certificate.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsCertificate>,
    limits: ConnectionLimits,
}

impl Listener {
    /// Accepts plain connections.
    pub fn new(tcp: TcpListener) -> Self {
        Self { tcp, tls: None, limits: ConnectionLimits::default() }
    }

    /// Accepts TLS connections only.
    pub fn with_tls(mut self, certificate: TlsCertificate) -> Self {
        self.tls = Some(certificate);
        self
    }

    /// Sets the limits.
    pub fn with_limits(mut self, limits: ConnectionLimits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Accepts until `stop`, and then closes the listening socket at once, which ends the task.
    pub(super) fn accept(self, stop: CancellationToken) -> (mpsc::Receiver<Connection>, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(64);
        let tls = self.tls.map(|certificate| certificate.acceptor(&[b"h2"]));
        let gate = ConnectionGate::new(&self.limits, tls, sender);
        let handshakes = handshakes(self.limits.handshakes);
        let accepting = tokio::spawn(async move {
            let accepting = async {
                loop {
                    if gate.has_tls() {
                        handshakes.until_ready().await;
                    }
                    match self.tcp.accept().await {
                        Ok((stream, address)) => gate.admit(stream, address),
                        Err(error) => pause_after(&error).await,
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = accepting => {}
            }
        });
        (receiver, accepting)
    }
}

/// Waits a moment after an accept failed, which is mostly for want of file descriptors.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

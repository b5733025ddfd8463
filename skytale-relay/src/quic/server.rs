//! Serving QUIC on a host's endpoint.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, Incoming};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::config::QuicLimits;
use super::gate::{ConnectionGate, UnauthenticatedConnection};
use super::stream;
use crate::admission::connect::{Connect, ConnectError};
use crate::admission::credentials::Credentials;
use crate::session::Session;

/// How long peers may take to learn that the endpoint has closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a relay on the host's endpoint until `shutdown`; from then on peers that connect are refused, and streams have
/// [`QuicLimits::grace`] to end.
///
/// Whether clients have to present certificates is the endpoint's business; who they are is the service's. The host
/// starts the relay's [`Drain`](crate::drain::Drain) when `shutdown` completes, so that agents are told when to come back.
pub async fn serve<S>(
    endpoint: Endpoint,
    service: S,
    limits: QuicLimits,
    shutdown: impl Future<Output = ()> + Send,
) where
    S: Service<Connect<Credentials>, Response = Session> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<ConnectError>,
{
    let (limits, tasks) = (Arc::new(limits), TaskTracker::new());
    let gate = ConnectionGate::new(limits.clone());
    let (closing, ended) = (CancellationToken::new(), CancellationToken::new());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let incoming = tokio::select! {
            () = &mut shutdown => break,
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => incoming,
                None => break,
            },
        };
        if let Some((incoming, peer)) = gate.admit(&endpoint, incoming) {
            let (service, limits) = (service.clone(), limits.clone());
            let (closing, ended) = (closing.clone(), ended.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = connected(incoming, peer, service, limits, closing) => {}
                    () = ended.cancelled() => {}
                }
            });
        }
    }
    closing.cancel();
    tasks.close();
    tokio::select! {
        _ = tokio::time::timeout(limits.grace, tasks.wait()) => {}
        () = refuse_all(&endpoint) => {}
    }
    ended.cancel();
    endpoint.close(0u32.into(), b"the relay is shutting down");
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await;
}

/// Refuses whoever connects, so that agents turn to another relay at once.
async fn refuse_all(endpoint: &Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        incoming.refuse();
    }
}

/// Serves the streams of a connection; none that is opened once the endpoint closes, or after too long without a session.
async fn connected<S>(
    incoming: Incoming,
    peer: UnauthenticatedConnection,
    service: S,
    limits: Arc<QuicLimits>,
    closing: CancellationToken,
) where
    S: Service<Connect<Credentials>, Response = Session> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<ConnectError>,
{
    let peer = Arc::new(peer);
    let mut late = std::pin::pin!(peer.is_late(limits.first_frame));
    let connecting = tokio::select! {
        connecting = incoming.into_future() => connecting,
        () = &mut late => Err(ConnectionError::TimedOut),
    };
    let connection: Connection = match connecting {
        Ok(connection) => connection,
        Err(error) => return tracing::debug!(remote = %peer.remote, %error, "no QUIC connection"),
    };
    let streams = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            stream = connection.accept_bi() => stream,
            () = closing.cancelled() => break,
            () = &mut late => return connection.close(0u32.into(), b"not authenticated in time"),
        };
        let Ok((sender, receiver)) = stream else { break };
        let (service, limits) = (service.clone(), limits.clone());
        streams.spawn(stream::run(sender, receiver, service, limits, peer.clone()));
    }
    streams.close();
    streams.wait().await;
}

//! The QUIC edge: the same frames and sessions as on gRPC, one session per stream.
//!
//! An agent opens a bidirectional stream for each channel, so that none waits for another. The first frame of a stream
//! presents the token; frames are length-delimited ([`skytale_core::frame`]).

pub(crate) mod config;
mod gate;
mod stream;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use governor::DefaultDirectRateLimiter;
use quinn::{Connection, ConnectionError, Endpoint, Incoming};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::admission::connect::{Connect, ConnectError};
use crate::admission::credentials::Credentials;
use crate::limits::handshakes::handshakes;
use crate::session::Session;
pub use config::{ALPN, QuicConfigError, QuicLimits, server_config};
use gate::UnauthenticatedConnection;

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
    let door = ConnectionGate {
        unauthenticated: Arc::new(Semaphore::new(limits.unauthenticated)),
        handshakes: handshakes(limits.handshakes),
        limits: limits.clone(),
    };
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
        if let Some((incoming, arrival)) = door.admit(&endpoint, incoming) {
            let (service, limits) = (service.clone(), limits.clone());
            let (closing, ended) = (closing.clone(), ended.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = connected(incoming, arrival, service, limits, closing) => {}
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

/// Lets connections in, as long as there is room.
struct ConnectionGate {
    unauthenticated: Arc<Semaphore>,
    handshakes: DefaultDirectRateLimiter,
    limits: Arc<QuicLimits>,
}

impl ConnectionGate {
    /// Under load a peer first has to show that its address is its own, and beyond the limits none is let in.
    fn admit(
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
                let arrival = UnauthenticatedConnection::new(incoming.remote_address(), permit);
                return Some((incoming, arrival));
            }
        }
        incoming.refuse();
        None
    }
}

/// Serves the streams of a connection; none that is opened once the endpoint closes, or after too long without a session.
async fn connected<S>(
    incoming: Incoming,
    arrival: UnauthenticatedConnection,
    service: S,
    limits: Arc<QuicLimits>,
    closing: CancellationToken,
) where
    S: Service<Connect<Credentials>, Response = Session> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<ConnectError>,
{
    let arrival = Arc::new(arrival);
    let mut late = std::pin::pin!(arrival.is_late(limits.first_frame));
    let connecting = tokio::select! {
        connecting = incoming.into_future() => connecting,
        () = &mut late => Err(ConnectionError::TimedOut),
    };
    let connection: Connection = match connecting {
        Ok(connection) => connection,
        Err(error) => return tracing::debug!(remote = %arrival.remote, %error, "no QUIC connection"),
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
        streams.spawn(stream::run(sender, receiver, service, limits, arrival.clone()));
    }
    streams.close();
    streams.wait().await;
}
